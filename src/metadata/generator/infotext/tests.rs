//! Splitting of infotext as people and programs write it, and back.

use super::*;
use proptest::prelude::*;

fn setting(key: &'static str, value: &str) -> Setting<'static> {
    Setting {
        key: key.into(),
        value: value.to_owned().into(),
    }
}

#[test]
fn the_plain_form() {
    let parts = split(
        "a red fox, snow\nsecond line\nNegative prompt: blurry, lowres\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 4294967295",
    );
    assert_eq!(parts.prompt, "a red fox, snow\nsecond line");
    assert_eq!(parts.negative_prompt.as_deref(), Some("blurry, lowres"));
    assert_eq!(parts.setting("seed"), Some("4294967295"));
}

#[test]
fn the_last_settings_line_wins() {
    let parts = split(
        "Steps: 1, Sampler: x, Seed: 2\nknight, Steps: 1 2 3\nNegative prompt: bad\nSteps: 30, Sampler: Euler a, Seed: 7",
    );
    assert_eq!(parts.prompt, "Steps: 1, Sampler: x, Seed: 2\nknight, Steps: 1 2 3");
    assert_eq!(parts.setting("Steps"), Some("30"));
}

#[test]
fn negative_prompt_missing_empty_or_twice() {
    let settings = "Steps: 4, Seed: 1, CFG scale: 1";
    assert_eq!(split(&format!("p\n{settings}")).negative_prompt, None);
    assert_eq!(
        split(&format!("p\nNegative prompt: \n{settings}"))
            .negative_prompt
            .as_deref(),
        Some("")
    );
    assert_eq!(
        split(&format!("p\nNegative prompt:\n{settings}"))
            .negative_prompt
            .as_deref(),
        Some("")
    );
    let text = format!("p\nNegative prompt: a\nNegative prompt: b\n{settings}");
    let twice = split(&text);
    assert_eq!(
        (twice.prompt.as_str(), twice.negative_prompt.as_deref()),
        ("p", Some("a\nNegative prompt: b"))
    );
}

#[test]
fn nothing_before_the_settings() {
    let parts = split("Steps: 4, Seed: 1, CFG scale: 1");
    assert_eq!((parts.prompt.as_str(), parts.negative_prompt), ("", None));
    let parts = split("Negative prompt: \nSteps: 4, Seed: 1, CFG scale: 1");
    assert_eq!(
        (parts.prompt.as_str(), parts.negative_prompt.as_deref()),
        ("", Some(""))
    );
}

#[test]
fn no_settings_at_all() {
    assert_eq!(split("just a prompt, no settings").prompt, "just a prompt, no settings");
    let parts = split("cat\nNegative prompt: dog");
    assert_eq!(
        (parts.prompt.as_str(), parts.negative_prompt.as_deref()),
        ("cat", Some("dog"))
    );
    assert!(parts.settings.is_empty());
}

#[test]
fn prose_with_colons_is_not_settings() {
    let text = "a castle\nmood: calm, light: soft, style: oil";
    assert_eq!(split(text).prompt, text);
    assert!(!looks_like_infotext(text));
    assert!(!looks_like_infotext("1girl, solo, Steps: 5"));
}

#[test]
fn blank_lines_and_crlf() {
    let parts = split("a\r\nb\r\n\nNegative prompt: c, \r\n\nSteps: 20, Sampler: x, Seed: 5\r\n");
    assert_eq!(parts.prompt, "a\r\nb\r\n");
    assert_eq!(parts.negative_prompt.as_deref(), Some("c, \r\n"));
    assert_eq!(parts.setting("Seed"), Some("5"));
    let parts = split("a\r\nNegative prompt: c\r\nSteps: 20, Sampler: x, Seed: 5");
    assert_eq!(
        (parts.prompt.as_str(), parts.negative_prompt.as_deref()),
        ("a", Some("c"))
    );
}

#[test]
fn one_jammed_line() {
    let parts = split(
        "a cat, Steps: 1 2 3, night. Negative prompt: dog, bad Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Hires steps: 10",
    );
    assert_eq!(parts.prompt, "a cat, Steps: 1 2 3, night.");
    assert_eq!(parts.negative_prompt.as_deref(), Some("dog, bad"));
    assert_eq!(parts.setting("Steps"), Some("20"));
    assert_eq!(parts.setting("Hires steps"), Some("10"));
}

#[test]
fn sd_next_templates() {
    let parts = split(
        "p\nNegative prompt: n\nTemplate: t __w__\nmore\nNegative template: nt\nSteps: 4, Seed: 48, CFG scale: 4, App: SD.Next, Version: 49ab7cc",
    );
    assert_eq!(parts.prompt, "p");
    assert_eq!(parts.negative_prompt.as_deref(), Some("n"));
    assert_eq!(parts.template.as_deref(), Some("t __w__\nmore"));
    assert_eq!(parts.negative_template.as_deref(), Some("nt"));
    let parts = split("p\nTemplate: t\nSteps: 4, Seed: 48, CFG scale: 4, App: SD.Next");
    assert_eq!((parts.prompt.as_str(), parts.template.as_deref()), ("p", Some("t")));
    let other = split("p\nTemplate: t\nSteps: 4, Seed: 48, CFG scale: 4, Version: v1.10");
    assert_eq!(other.prompt, "p\nTemplate: t");
}

#[test]
fn a_prompt_that_is_json() {
    let text = "{\n  \"short_description\": \"Steps: 3, a: b, c: d\",\n  \"x\": [1]\n}\nSteps: 48, Seed: 20, CFG scale: 7, App: SD.Next";
    assert_eq!(
        split(text).prompt,
        "{\n  \"short_description\": \"Steps: 3, a: b, c: d\",\n  \"x\": [1]\n}"
    );
}

#[test]
fn trailing_lines_are_kept_apart() {
    let parts = split("p\nSteps: 20, Sampler: x, Seed: 5\nsome comment");
    assert_eq!(parts.trailing, "some comment");
    assert_eq!(parts.settings.len(), 3);
}

#[test]
fn hostile_text_costs_linear_time() {
    let started = std::time::Instant::now();
    for pattern in [
        "Steps: \"\n",
        "Steps: 1, ",
        "Negative prompt:",
        "Steps: 1,a:\n",
        "\n",
        "Seed: {\n",
    ] {
        split(&pattern.repeat(1 << 17));
    }
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
}

/// Prompt text as people write it, traps included.
fn prompt() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,8}",
        Just("(x:1.2)".to_owned()),
        Just("<lora:foo:0.8>".to_owned()),
        Just("BREAK".to_owned()),
        Just("[a:b:0.5]".to_owned()),
        Just("\"quoted\"".to_owned()),
        Just("Steps: 1 2 3".to_owned()),
        Just("テスト 😀".to_owned()),
        Just("\n".to_owned()),
        Just("{\"json\": 1}".to_owned()),
        Just("a, b, c:".to_owned()),
    ];
    prop::collection::vec(piece, 1..10).prop_map(|pieces| pieces.join(", "))
}

fn settings() -> impl Strategy<Value = Vec<Setting<'static>>> {
    let text = prop_oneof![
        "[ -~]{0,20}",
        Just("line\nbreak, \"q\": x".to_owned()),
        Just("{\"a\":1}".to_owned())
    ];
    (0_u32..200, any::<u64>(), text.clone(), text).prop_map(|(steps, seed, a, b)| {
        vec![
            setting("Steps", &steps.to_string()),
            setting("Sampler", "DPM++ 2M Karras"),
            setting("Seed", &seed.to_string()),
            setting("Hires prompt", &a),
            setting("Extra key", &b),
            setting("Version", "v1.10.1"),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        prompt in prompt(),
        negative_prompt in prop::option::of(prompt()),
        settings in settings(),
    ) {
        let parts = Infotext { prompt, negative_prompt, settings, ..Infotext::default() };
        let text = write(&parts);
        prop_assert_eq!(&split(&text), &parts, "{}", text);
    }

    #[test]
    fn templates_are_read_back(prompt in prompt(), template in prompt(), negative in prompt()) {
        let parts = Infotext {
            prompt,
            negative_prompt: Some(String::new()),
            template: Some(template),
            negative_template: Some(negative),
            settings: vec![setting("Steps", "4"), setting("Seed", "1"), setting("App", "SD.Next")],
            trailing: String::new(),
        };
        let text = write(&parts);
        prop_assert_eq!(split(&text), parts);
    }

    #[test]
    fn never_panics(text in "(Steps: |Negative prompt:|Template:|[a-z\": ,{}\n\\\\é]){0,60}") {
        let parts = split(&text);
        let _ = split(&write(&parts));
    }
}
