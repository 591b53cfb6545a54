//! GIF: comment extensions and the XMP application extension.

use super::{Bytes, Collector, Window, set_size, text, u16_le, xmp};

/// Behind an XMP packet in a GIF stands a magic trailer of these many bytes, which lets readers
/// that walk sub-blocks land on its end.
const XMP_TRAILER_BYTES: usize = 257;

/// Reads the blocks up to the end of the picture or of the scan.
pub(super) fn read(window: &mut Window, collector: &mut Collector) {
    let header = window.at(0, 13).into_owned();
    let side = |at| u16_le(&header, at).map_or(0, u32::from);
    set_size(collector, side(6), side(8));
    let Some(&flags) = header.get(10) else {
        collector.note("gif: the file ends in its header");
        return;
    };
    let scan_end = collector.options().max_gif_scan_bytes;
    let mut at = 13 + color_table_bytes(flags);
    while at < scan_end {
        let head = window.at(at, 12).into_owned();
        let next = match head.first() {
            Some(0x21) => extension(&head, at, window, collector),
            // An image: its descriptor, its colours, the minimum code size, and its data.
            Some(0x2c) => head
                .get(9)
                .and_then(|&flags| skip_sub_blocks(at + 11 + color_table_bytes(flags), scan_end, window)),
            Some(0x3b) => return,
            Some(_) => {
                collector.note(format!("gif: no block at byte {at}; what follows is left out"));
                return;
            }
            None => None,
        };
        let Some(next) = next else {
            collector.note("gif: the file ends early");
            return;
        };
        at = next;
    }
    collector.note(format!("gif: comments behind byte {scan_end} are not looked for"));
}

/// Size of the colour table that the flags announce.
fn color_table_bytes(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Reads or skips an extension; gives the offset behind it.
fn extension(head: &[u8], at: u64, window: &mut Window, collector: &mut Collector) -> Option<u64> {
    match *head.get(1)? {
        0xfe => {
            let (comment, end) = sub_blocks(at + 2, window, collector);
            collector.entry("gif:comment", "", text::any(&comment).text);
            end
        }
        0xff if window.at(at + 2, 12).get(1..) == Some(b"XMP DataXMP") => {
            // The packet is not cut into sub-blocks: its bytes stand for lengths as they happen to.
            let end = skip_sub_blocks(at + 14, at + collector.options().max_xmp_bytes as u64, window);
            let stop = end.unwrap_or(window.len());
            let length = usize::try_from(stop - (at + 14))
                .unwrap_or(usize::MAX)
                .min(collector.options().max_xmp_bytes);
            let packet = window.at(at + 14, length).into_owned();
            let kept = if end.is_some() {
                packet.len().saturating_sub(XMP_TRAILER_BYTES + 1)
            } else {
                packet.len()
            };
            xmp::read(&packet[..kept], collector);
            end
        }
        _ => skip_sub_blocks(at + 2, collector.options().max_gif_scan_bytes, window),
    }
}

/// The bytes of a chain of sub-blocks, within the budget, and the offset behind the chain.
fn sub_blocks(start: u64, window: &mut Window, collector: &mut Collector) -> (Vec<u8>, Option<u64>) {
    let budget = collector.text_budget();
    let mut joined = Vec::new();
    let mut at = start;
    loop {
        let block = window.at(at, 256);
        let Some((&length, rest)) = block.split_first() else {
            return (joined, None);
        };
        at += 1 + u64::from(length);
        if length == 0 {
            return (joined, Some(at));
        }
        let body = &rest[..rest.len().min(usize::from(length))];
        if joined.len() + body.len() > budget {
            collector.note("gif: a comment is over the limit and was cut");
            return (joined, None);
        }
        joined.extend_from_slice(body);
        if body.len() < usize::from(length) {
            return (joined, None);
        }
    }
}

/// The offset behind a chain of sub-blocks that is not read; none where the file ends before it.
/// Stops at `scan_end`, in the middle of the chain.
fn skip_sub_blocks(start: u64, scan_end: u64, window: &mut Window) -> Option<u64> {
    let mut at = start;
    while at < scan_end {
        let length = u64::from(*window.at(at, 1).first()?);
        at += 1 + length;
        if length == 0 {
            break;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests;
