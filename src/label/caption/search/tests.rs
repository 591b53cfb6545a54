//! The search by hand: a vocabulary of a few ids whose logits are written down.

use super::*;

/// Ids: 0 begins, 1 ends, 2 and up are words.
fn rules(search: CaptionSearch) -> Rules {
    Rules {
        given: vec![0],
        end_id: 1,
        search,
    }
}

fn search(beams: usize, min_length: usize, max_length: usize) -> CaptionSearch {
    CaptionSearch {
        beams,
        min_length,
        max_length,
        ..CaptionSearch::default()
    }
}

/// Follows a search with logits that depend on the caption so far.
fn follow(rules: &Rules, logits: impl Fn(&[i64]) -> Vec<f32>) -> Vec<i64> {
    let mut search = Search::new(rules);
    while !search.is_done() {
        let rows: Vec<Vec<f32>> = search.live.iter().map(|path| logits(&path.ids)).collect();
        let width = rows[0].len();
        search.advance(&mut rows.concat(), width).unwrap();
    }
    search.into_ids()
}

/// Log-probabilities of a small language: "2" is likelier at first, "3 4" likelier as a whole.
fn language(ids: &[i64]) -> Vec<f32> {
    let probabilities: [f32; 5] = match ids {
        [0] => [0.01, 0.01, 0.5, 0.47, 0.01],
        [0, 2] => [0.2, 0.2, 0.2, 0.2, 0.2],
        [0, 3] => [0.025, 0.025, 0.025, 0.025, 0.9],
        [0, 3, 4] => [0.02, 0.92, 0.02, 0.02, 0.02],
        _ => [0.1, 0.3, 0.2, 0.2, 0.2],
    };
    probabilities.map(f32::ln).to_vec()
}

#[test]
fn greedy_takes_the_likeliest_id_and_beams_the_likeliest_caption() {
    assert_eq!(follow(&rules(search(1, 0, 4)), language), [0, 2, 0, 1]);
    assert_eq!(follow(&rules(search(2, 0, 10)), language), [0, 3, 4, 1]);
}

#[test]
fn captions_neither_end_too_early_nor_grow_too_long() {
    let ends = |_: &[i64]| vec![0.0, 5.0, 1.0, 0.5, 0.2];
    assert_eq!(follow(&rules(search(1, 0, 9)), ends), [0, 1]);
    assert_eq!(follow(&rules(search(1, 3, 9)), ends), [0, 2, 2, 1]);
    assert_eq!(follow(&rules(search(1, 9, 3)), ends), [0, 2, 2]);
    assert_eq!(follow(&rules(search(2, 3, 9)), ends), [0, 2, 2, 1]);
    assert_eq!(follow(&rules(search(2, 9, 4)), ends).len(), 4);
}

#[test]
fn a_penalty_weakens_what_was_said_whatever_its_sign() {
    let mut rules = rules(search(1, 0, 5));
    rules.search.repetition_penalty = 2.0;
    let above = |_: &[i64]| vec![0.0, 0.0, 3.0, 2.0, 1.9];
    assert_eq!(follow(&rules, above), [0, 2, 3, 4, 2]);
    let below = |_: &[i64]| vec![-9.0, -9.0, -1.0, -1.5, -1.7];
    assert_eq!(follow(&rules, below), [0, 2, 3, 4, 2]);
}

#[test]
fn beams_say_where_they_come_from() {
    let rules = rules(search(2, 0, 10));
    let mut search = Search::new(&rules);
    assert_eq!(search.next().collect::<Vec<_>>(), [(0, 0)]);
    search.advance(&mut language(&[0]), 5).unwrap();
    assert_eq!(search.next().collect::<Vec<_>>(), [(2, 0), (3, 0)]);
    search
        .advance(&mut [language(&[0, 2]), language(&[0, 3])].concat(), 5)
        .unwrap();
    // The likeliest is the second's; of the equal ones the first id.
    assert_eq!(search.next().collect::<Vec<_>>(), [(4, 1), (0, 0)]);
}

#[test]
fn scores_that_are_no_numbers_are_told() {
    for beams in [1, 2] {
        let rules = rules(search(beams, 0, 10));
        let mut search = Search::new(&rules);
        assert_eq!(search.advance(&mut [0.0, f32::NAN, 1.0, 0.0, 0.0], 5), Err(NotANumber));
    }
}

#[test]
fn the_largest_come_first_and_of_equals_the_first() {
    assert_eq!(best(&[1.0, 3.0, 2.0, 3.0, 3.0], 3), [1, 3, 4]);
    assert_eq!(best(&[f32::NEG_INFINITY; 3], 2), [0, 1]);
}
