//! The tag rules that were typed: a preset, and what the other flags change in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::cli::{EscapeArg, OrderArg, SpellingArg, TagArgs};
use crate::exit::UsageError;
use crate::export::tag_text::{self, Escape, Order, PRESETS, Spelling, TagRules, normal};

/// The rules of a command line.
pub fn tag_rules(args: &TagArgs) -> anyhow::Result<TagRules> {
    let mut rules = match &args.preset {
        None => TagRules::default(),
        Some(name) => tag_text::preset(name)
            .ok_or_else(|| UsageError::error(format!("--preset {name}: known are {}", PRESETS.join(", "))))?,
    };
    thresholds(&args.threshold, &mut rules)?;
    rules.mcut |= args.mcut;
    rules.categories.extend(args.categories.iter().cloned());
    rules.top = args.top.or(rules.top);
    rules.max_tags = args.max_tags.or(rules.max_tags);
    rules
        .exclude
        .extend(listed(&args.exclude, true)?.iter().map(|tag| normal(tag)));
    for pair in listed(&args.replace, false)? {
        let (old, new) = pair
            .split_once('=')
            .ok_or_else(|| UsageError::error(format!("--replace {pair}: OLD=NEW is wanted")))?;
        rules.replace.insert(normal(old), normal(new));
    }
    rules.expand_characters |= args.expand_characters;
    if let Some(file) = &args.implications {
        rules.implications = implications(file)?;
    }
    if let Some(file) = &args.overlaps {
        rules.overlaps = overlaps(file)?;
    }
    rules.drop_contained |= args.drop_contained;
    rules.min_count = args.min_count.unwrap_or(rules.min_count);
    rules.characters_first |= args.characters_first;
    rules.first.extend(args.first.iter().map(|word| word.trim().to_owned()));
    rules.shuffle_seed = args.shuffle.or(rules.shuffle_seed);
    rules.keep_first = args.keep_first.unwrap_or(rules.keep_first);
    rules.with_scores |= args.with_scores;
    appearance(args, &mut rules);
    Ok(rules)
}

fn appearance(args: &TagArgs, rules: &mut TagRules) {
    if let Some(order) = args.order {
        rules.order = match order {
            OrderArg::Score => Order::Score,
            OrderArg::Alphabetical => Order::Alphabetical,
            OrderArg::Category => Order::Category,
            OrderArg::PeopleFirst => Order::PeopleFirst,
        };
    }
    if let Some(spelling) = args.spelling {
        rules.spelling = match spelling {
            SpellingArg::Underscores => Spelling::Underscores,
            SpellingArg::Spaces => Spelling::Spaces,
            SpellingArg::SpacesEverywhere => Spelling::SpacesEverywhere,
            SpellingArg::SpacesInLongTags => Spelling::SpacesInLongTags,
        };
    }
    if let Some(escape) = args.escape {
        rules.escape = match escape {
            EscapeArg::Nothing => Escape::Nothing,
            EscapeArg::Parentheses => Escape::Parentheses,
            EscapeArg::All => Escape::All,
        };
    }
    if let Some(separator) = &args.separator {
        rules.separator.clone_from(separator);
    }
}

/// `0.4` for every category, `character=0.8` for one, `@FILE` for single tags. A threshold for all
/// takes the place of a preset's own ones.
fn thresholds(typed: &[String], rules: &mut TagRules) -> anyhow::Result<()> {
    let (files, typed): (Vec<&String>, Vec<&String>) = typed.iter().partition(|typed| typed.starts_with('@'));
    for file in files {
        rules
            .tag_thresholds
            .extend(tag_thresholds(Path::new(file.trim_start_matches('@')))?);
    }
    let number = |text: &str, typed: &str| {
        let number = text
            .trim()
            .parse::<f32>()
            .ok()
            .filter(|number| (0.0..=1.0).contains(number));
        number.ok_or_else(|| UsageError::error(format!("--threshold {typed}: a number from 0 to 1 is wanted")))
    };
    for typed in typed.iter().filter(|typed| !typed.contains('=')) {
        rules.threshold = number(typed, typed)?;
        rules.thresholds.clear();
    }
    for typed in &typed {
        if let Some((category, score)) = typed.split_once('=') {
            rules
                .thresholds
                .insert(category.trim().to_owned(), number(score, typed)?);
        }
    }
    Ok(())
}

/// Thresholds of single tags: CSV whose header has `name` (or `tag`) and `best_threshold` (or
/// `threshold`), as published beside some taggers.
fn tag_thresholds(file: &Path) -> anyhow::Result<BTreeMap<String, f32>> {
    let place = file.display();
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(file)
        .with_context(|| format!("reading {place}"))?;
    let header = reader.headers().with_context(|| format!("reading {place}"))?.clone();
    let column = |names: [&str; 2]| {
        let found = names
            .iter()
            .find_map(|name| header.iter().position(|known| known.trim() == *name));
        found.ok_or_else(|| UsageError::error(format!("{place}: its header has no column `{}`", names[0])))
    };
    let (tag, threshold) = (column(["name", "tag"])?, column(["best_threshold", "threshold"])?);
    let mut thresholds = BTreeMap::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("reading {place}"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let score = record.get(threshold).and_then(|text| text.trim().parse::<f32>().ok());
        let (Some(tag), Some(score)) = (record.get(tag), score.filter(|score| (0.0..=1.0).contains(score))) else {
            return Err(UsageError::error(format!(
                "{place} line {line}: a tag and a number from 0 to 1 are wanted"
            )));
        };
        thresholds.insert(normal(tag), score);
    }
    Ok(thresholds)
}

/// The items of a list: typed with commas, or one a line in `@FILE`.
fn listed(typed: &[String], by_comma: bool) -> anyhow::Result<Vec<String>> {
    let mut items = Vec::new();
    for typed in typed {
        if let Some(file) = typed.strip_prefix('@') {
            let text = fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
            items.extend(
                text.lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .map(str::to_owned),
            );
        } else if by_comma {
            items.extend(typed.split(',').map(|item| item.trim().to_owned()));
        } else {
            items.push(typed.clone());
        }
    }
    items.retain(|item| !item.is_empty());
    Ok(items)
}

type Relations = BTreeMap<String, BTreeSet<String>>;

/// `child,parent` a line; further columns are passed over, and a line that is no such pair is an
/// error.
fn implications(file: &Path) -> anyhow::Result<Relations> {
    let mut relations = Relations::new();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_path(file)
        .with_context(|| format!("reading {}", file.display()))?;
    for record in reader.records() {
        let record = record.with_context(|| format!("reading {}", file.display()))?;
        let (Some(child), Some(parent)) = (record.get(0), record.get(1)) else {
            anyhow::bail!("{}: a line has no `child,parent`: {record:?}", file.display());
        };
        relations.entry(normal(child)).or_default().insert(normal(parent));
    }
    Ok(relations)
}

fn overlaps(file: &Path) -> anyhow::Result<Relations> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let read: BTreeMap<String, Vec<String>> = serde_json::from_str(&text)
        .with_context(|| format!("{} is no JSON object of {{TAG: [TAG, …]}}", file.display()))?;
    let pairs = read.into_iter();
    Ok(pairs
        .map(|(tag, beside)| (normal(&tag), beside.iter().map(|other| normal(other)).collect()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(args: TagArgs) -> TagRules {
        tag_rules(&args).unwrap()
    }

    #[test]
    fn flags_change_a_preset() {
        let typed = TagArgs {
            preset: Some("wd".into()),
            threshold: vec!["character=0.7".into(), "0.4".into()],
            exclude: vec!["red hair, solo".into()],
            replace: vec!["grey hair=gray_hair".into()],
            order: Some(OrderArg::Alphabetical),
            ..TagArgs::default()
        };
        let rules = rules(typed);
        assert_eq!((rules.threshold, rules.thresholds["character"]), (0.4, 0.7));
        assert!(rules.exclude.contains("red_hair") && rules.exclude.contains("solo"));
        assert_eq!(rules.replace["grey_hair"], "gray_hair");
        assert_eq!((rules.order, rules.escape), (Order::Alphabetical, Escape::Parentheses));
    }

    #[test]
    fn thresholds_of_single_tags_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("selected_tags.csv");
        fs::write(
            &file,
            "tag_id,name,category,best_threshold\n1,long hair,0,0.42\n2,\"a,b\",0,0.5\n",
        )
        .unwrap();
        let typed = |file: &Path| TagArgs {
            threshold: vec![format!("@{}", file.display()), "0.3".into()],
            ..TagArgs::default()
        };
        let rules = rules(typed(&file));
        assert_eq!(
            (rules.tag_thresholds["long_hair"], rules.tag_thresholds["a,b"]),
            (0.42, 0.5)
        );
        assert!(rules.threshold < 0.31);
        for (text, says) in [
            ("name,count\na,1\n", "no column `best_threshold`"),
            ("tag,threshold\na,1\nb,2\n", "line 3"),
        ] {
            fs::write(&file, text).unwrap();
            let message = tag_rules(&typed(&file)).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error() {
        let wrong = [
            TagArgs {
                preset: Some("nai".into()),
                ..TagArgs::default()
            },
            TagArgs {
                threshold: vec!["35".into()],
                ..TagArgs::default()
            },
            TagArgs {
                replace: vec!["a".into()],
                ..TagArgs::default()
            },
        ];
        for wrong in wrong {
            let error = tag_rules(&wrong).unwrap_err();
            assert!(error.downcast_ref::<UsageError>().is_some(), "{error}");
        }
    }

    #[test]
    fn relations_are_read_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let (csv, json) = (folder.path().join("a.csv"), folder.path().join("b.json"));
        fs::write(&csv, "cat girl,animal_girl\n\"a,b\",c,ignored\n").unwrap();
        fs::write(&json, r#"{"hair": ["long hair"]}"#).unwrap();
        let rules = rules(TagArgs {
            implications: Some(csv.clone()),
            overlaps: Some(json),
            ..TagArgs::default()
        });
        assert!(rules.implications["cat_girl"].contains("animal_girl") && rules.implications["a,b"].contains("c"));
        assert!(rules.overlaps["hair"].contains("long_hair"));
        fs::write(&csv, "alone\n").unwrap();
        assert!(implications(&csv).is_err());
    }
}
