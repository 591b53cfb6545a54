//! Comments and XMP in GIFs, and what is broken in a GIF.

use crate::metadata::container::testing::*;
use crate::metadata::{ReadOptions, read};

#[test]
fn comments_before_and_after_the_frame() {
    let text = format!("a café, {}\nSteps: 20", "猫".repeat(300));
    for file in [
        gif(&[gif_comment(text.as_bytes())], &[]),
        gif(&[], &[gif_comment(text.as_bytes())]),
    ] {
        let raw = read_bytes(&file);
        assert_eq!(entries(&raw), [("gif:comment", "", &*text)]);
        assert_eq!(
            (raw.facts.format, raw.facts.width, raw.facts.height),
            (Some("gif"), Some(3), Some(2))
        );
        assert!(raw.notes.is_empty(), "{:?}", raw.notes);
    }
}

#[test]
fn an_xmp_extension_is_not_in_sub_blocks() {
    let mut extension = b"\x21\xff\x0bXMP DataXMP".to_vec();
    extension.extend(xmp_packet("xmp:CreatorTool=\"Tool\"", "").into_bytes());
    extension.push(1);
    extension.extend((0..=255).rev());
    extension.push(0);
    let raw = read_bytes(&gif(
        &[b"\x21\xf9\x04\0\0\0\0\0".to_vec(), extension],
        &[gif_comment(b"after")],
    ));
    assert_eq!(
        entries(&raw),
        [("xmp", "xmp:CreatorTool", "Tool"), ("gif:comment", "", "after")]
    );
    assert!(raw.notes.is_empty(), "{:?}", raw.notes);
}

#[test]
fn every_cut_is_a_note_and_the_scan_is_bounded() {
    let file = gif(&[gif_comment(b"first")], &[gif_comment(b"second")]);
    for end in 6..file.len() {
        assert!(!read_bytes(&file[..end]).notes.is_empty(), "{end}");
    }
    let options = ReadOptions {
        max_gif_scan_bytes: 40,
        ..ReadOptions::default()
    };
    let raw = read(&mut std::io::Cursor::new(file), &options);
    assert_eq!(
        (entries(&raw), raw.notes.len()),
        (vec![("gif:comment", "", "first")], 1)
    );
}
