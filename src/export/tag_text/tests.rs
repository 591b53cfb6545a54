//! The rules against what is known of the tools whose captions the presets give.

use super::*;

fn general(tags: &[(&'static str, f32)]) -> Vec<Scored<'static>> {
    of("general", tags)
}

fn of(category: &'static str, tags: &[(&'static str, f32)]) -> Vec<Scored<'static>> {
    let scored = |(tag, score): &(&'static str, f32)| Scored {
        tag,
        score: *score,
        category,
    };
    tags.iter().map(scored).collect()
}

fn text(rules: &TagRules, tags: &[Scored<'_>]) -> String {
    rules.join(&rules.words(rules.choose(tags), &TagCounts::new(), "picture"))
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn webui_deepbooru_sorts_by_name_and_has_no_mercy_on_kaomoji() {
    let rules = preset("webui-deepbooru").unwrap();
    let tags = general(&[
        ("solo", 0.99),
        ("^_^", 0.8),
        ("red_hair", 0.5),
        ("blue_sky", 0.49),
        ("saber_(fate)", 0.7),
        ("back\\slash", 0.6),
    ]);
    assert_eq!(text(&rules, &tags), r"^ ^, back\\slash, red hair, saber \(fate\), solo");
    let ranked = TagRules {
        with_scores: true,
        order: Order::Score,
        ..rules
    };
    assert_eq!(text(&ranked, &tags[..3]), "(solo:0.990), (^ ^:0.800), (red hair:0.500)");
}

#[test]
fn webui_deepbooru_filters_by_the_underscore_form() {
    let rules = TagRules {
        exclude: names(&[&normal(" red hair "), "solo"]),
        ..preset("webui-deepbooru").unwrap()
    };
    assert_eq!(
        text(&rules, &general(&[("solo", 0.9), ("red_hair", 0.9), ("hat", 0.9)])),
        "hat"
    );
}

#[test]
fn wd_wants_more_than_the_threshold_keeps_kaomoji_and_puts_characters_after() {
    let rules = preset("wd").unwrap();
    let mut tags = of("character", &[("saber_(fate)", 0.9), ("rin", 0.85)]);
    tags.extend(general(&[
        ("long_hair", 0.6),
        ("^_^", 0.5),
        ("<|>_<|>", 0.45),
        ("smile", 0.35),
    ]));
    assert_eq!(text(&rules, &tags), r"long hair, ^_^, <|>_<|>, saber \(fate\)");
}

#[test]
fn kohya_takes_the_threshold_itself_and_spares_short_tags_only() {
    let rules = preset("kohya").unwrap();
    let tags = general(&[("long_hair", 0.6), ("^_^", 0.5), ("<o>_<o>", 0.45), ("smile", 0.35)]);
    assert_eq!(text(&rules, &tags), "long hair, ^_^, <o> <o>, smile");
    let first = TagRules {
        first: vec!["sks".into(), "person".into()],
        ..rules
    };
    assert_eq!(text(&first, &tags[..1]), "person, sks, long hair");
}

#[test]
fn every_known_kaomoji_keeps_its_underscore() {
    let rules = TagRules::default();
    for kaomoji in KAOMOJI {
        assert_eq!(text(&rules, &general(&[(kaomoji, 0.9)])), kaomoji);
    }
}

#[test]
fn mcut_cuts_in_the_widest_gap_and_characters_not_below_a_floor() {
    let rules = TagRules {
        mcut: true,
        ..TagRules::default()
    };
    let tags = general(&[("a", 0.9), ("b", 0.8), ("c", 0.3), ("d", 0.2)]);
    assert_eq!(text(&rules, &tags), "a, b");
    let characters = of("character", &[("x", 0.16), ("y", 0.14), ("z", 0.02)]);
    assert_eq!(text(&rules, &characters), "x");
    assert_eq!(mcut(&[0.75, 0.5, 0.25]), Some(0.625), "the first of equal gaps");
    assert_eq!(mcut(&[0.9]), None);
}

#[test]
fn thresholds_and_limits_of_single_categories() {
    let rules = TagRules {
        thresholds: BTreeMap::from([("character".to_owned(), 0.8), ("meta".to_owned(), 1.1)]),
        top: Some(2),
        ..TagRules::default()
    };
    let mut tags = general(&[("a", 0.4), ("b", 0.9), ("c", 0.5), ("low", 0.2)]);
    tags.extend(of("character", &[("x", 0.79), ("y", 0.8)]));
    tags.extend(of("meta", &[("highres", 0.99)]));
    assert_eq!(text(&rules, &tags), "b, y, c");
    let own = TagRules {
        tag_thresholds: BTreeMap::from([("low".to_owned(), 0.2), ("b".to_owned(), 0.95)]),
        top: None,
        ..rules.clone()
    };
    assert_eq!(text(&own, &tags), "y, c, a, low", "a tag's own threshold wins");
    let only = TagRules {
        categories: names(&["character"]),
        ..rules
    };
    assert_eq!(text(&only, &tags), "y");
}

#[test]
fn characters_expand_by_their_last_parenthesis() {
    let rules = TagRules {
        expand_characters: true,
        ..TagRules::default()
    };
    let mut tags = of("character", &[("artoria_(lancer)_(fate)", 0.9), ("rin", 0.8)]);
    tags.extend(general(&[("bow_(weapon)", 0.7)]));
    assert_eq!(text(&rules, &tags), "artoria (lancer), fate, rin, bow (weapon)");
}

#[test]
fn what_a_child_implies_goes_over_several_steps_and_circles() {
    let implies = |pairs: &[(&str, &str)]| {
        let mut map: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (child, parent) in pairs {
            map.entry((*child).to_owned()).or_default().insert((*parent).to_owned());
        }
        map
    };
    let rules = TagRules {
        implications: implies(&[
            ("cat_girl", "animal_girl"),
            ("animal_girl", "girl"),
            ("a", "b"),
            ("b", "a"),
        ]),
        ..TagRules::default()
    };
    let tags = general(&[("cat_girl", 0.9), ("animal_girl", 0.8), ("girl", 0.7), ("hat", 0.6)]);
    assert_eq!(text(&rules, &tags), "cat girl, hat");
    assert_eq!(text(&rules, &general(&[("a", 0.9), ("b", 0.8)])), "a, b");
}

#[test]
fn overlaps_and_contained_names() {
    let rules = TagRules {
        overlaps: BTreeMap::from([("hair".to_owned(), names(&["long_hair"]))]),
        ..TagRules::default()
    };
    let tags = general(&[("long_hair", 0.9), ("hair", 0.8), ("very_long_hair", 0.7)]);
    assert_eq!(text(&rules, &tags), "long hair, very long hair");
    let contained = TagRules {
        drop_contained: true,
        ..TagRules::default()
    };
    assert_eq!(text(&contained, &tags), "very long hair");
}

#[test]
fn rare_tags_go_and_replaced_ones_count_under_their_new_name() {
    let rules = TagRules {
        replace: BTreeMap::from([("grey_hair".to_owned(), "gray_hair".to_owned())]),
        min_count: 2,
        ..TagRules::default()
    };
    let chosen = rules.choose(&general(&[("grey_hair", 0.9), ("gray_hair", 0.8), ("rare", 0.7)]));
    assert_eq!(chosen.len(), 2, "{chosen:?}");
    let counts = TagCounts::from([("gray_hair".to_owned(), 2), ("rare".to_owned(), 1)]);
    assert_eq!(rules.words(chosen, &counts, "p"), ["gray hair"]);
}

#[test]
fn trigger_words_stand_first_once_and_survive_the_shuffle() {
    let rules = TagRules {
        first: vec!["sks person".into(), "smile".into()],
        shuffle_seed: Some(7),
        keep_first: 3,
        ..TagRules::default()
    };
    let tags = general(&[
        ("a", 0.9),
        ("smile", 0.8),
        ("b", 0.7),
        ("c", 0.6),
        ("d", 0.5),
        ("e", 0.4),
    ]);
    let words = rules.words(rules.choose(&tags), &TagCounts::new(), "one");
    assert_eq!(words[..3], ["sks person", "smile", "a"]);
    assert_eq!(words, rules.words(rules.choose(&tags), &TagCounts::new(), "one"));
    let mut sorted = words.clone();
    sorted[3..].sort();
    assert_eq!(sorted[3..], ["b", "c", "d", "e"]);
    let orders: HashSet<Vec<String>> = (0..20)
        .map(|picture| rules.words(rules.choose(&tags), &TagCounts::new(), &picture.to_string()))
        .collect();
    assert!(orders.len() > 5, "pictures are shuffled alike: {orders:?}");
    let short = TagRules {
        max_tags: Some(2),
        ..rules
    };
    assert_eq!(
        short.words(short.choose(&tags), &TagCounts::new(), "one"),
        ["sks person", "smile"]
    );
}

#[test]
fn people_come_first_and_characters_before_all() {
    let rules = TagRules {
        order: Order::PeopleFirst,
        ..TagRules::default()
    };
    let mut tags = general(&[
        ("hat", 0.9),
        ("2girls", 0.8),
        ("solo", 0.7),
        ("6+boys", 0.6),
        ("girls", 0.5),
    ]);
    assert_eq!(text(&rules, &tags), "solo, 2girls, 6+boys, hat, girls");
    tags.extend(of("character", &[("rin", 0.4)]));
    let rules = TagRules {
        characters_first: true,
        ..rules
    };
    assert_eq!(text(&rules, &tags[3..]), "rin, 6+boys, girls");
}
