//! TIFF as a file: the same structure as EXIF, and the size of its first picture.

use super::{Collector, Window, exif, set_size};

/// Reads the first directory, and EXIF, XMP and IPTC in it.
pub(super) fn read(window: &mut Window, collector: &mut Collector) {
    if let Some((width, height)) = exif::read_tiff(window, collector) {
        set_size(collector, width, height);
    }
}

#[cfg(test)]
mod tests;
