//! The facts of a photograph from EXIF numbers and texts: when, with what, how, where.

use super::{Directory, MAKER_NOTE};
use crate::record::PhotoFacts;

/// Longest text that can be the name of a camera or a lens. Some generators write whole graphs
/// into `Make` and `Model`.
const MAX_NAME_BYTES: usize = 100;

/// Whether the number in a field is a fact.
pub(super) fn is_wanted(directory: Directory, tag: u16) -> bool {
    match directory {
        Directory::Main => {
            matches!(
                tag,
                0x0100 | 0x0101 | 0x0112 | 0x4746 | 0x829a | 0x829d | 0x8827 | 0x920a
            )
        }
        Directory::Exif => matches!(tag, 0x829a | 0x829d | 0x8827 | 0x8833 | 0x920a),
        Directory::Gps => matches!(tag, 2 | 4),
    }
}

/// What was found on the way through the directories.
#[derive(Debug, Default)]
pub(super) struct PhotoFields {
    width: Option<u32>,
    height: Option<u32>,
    orientation: Option<u8>,
    rating: Option<i32>,
    exposure_secs: Option<f64>,
    f_number: Option<f64>,
    iso: Option<u32>,
    focal_length_mm: Option<f64>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    is_south: bool,
    is_west: bool,
    make: Option<String>,
    model: Option<String>,
    lens: Option<String>,
    changed: Option<i64>,
    original: Option<i64>,
    changed_micros: i64,
    original_micros: i64,
    changed_offset: Option<i32>,
    original_offset: Option<i32>,
}

impl PhotoFields {
    /// Takes the numbers of a field that [`is_wanted`].
    pub fn number(&mut self, directory: Directory, tag: u16, values: &[f64]) {
        let Some(&value) = values.first().filter(|value| value.is_finite()) else {
            return;
        };
        let positive = (value > 0.0).then_some(value);
        let count = (value >= 1.0 && value <= f64::from(u32::MAX)).then_some(value as u32);
        match (directory, tag) {
            (Directory::Gps, 2) => self.latitude = degrees(values, 90.0),
            (Directory::Gps, _) => self.longitude = degrees(values, 180.0),
            (_, 0x0100) => self.width = count,
            (_, 0x0101) => self.height = count,
            (_, 0x0112) => self.orientation = count.filter(|turn| (1..=8).contains(turn)).map(|turn| turn as u8),
            (_, 0x4746) => self.rating = (0.0..=5.0).contains(&value).then_some(value as i32),
            (_, 0x829a) => self.exposure_secs = self.exposure_secs.or(positive),
            (_, 0x829d) => self.f_number = self.f_number.or(positive),
            // 65535 says "too high for two bytes": the true value is in another tag.
            (_, 0x8827) => self.iso = self.iso.or(count.filter(|&iso| iso < 0xffff)),
            (_, 0x8833) => self.iso = self.iso.or(count),
            (_, 0x920a) => self.focal_length_mm = self.focal_length_mm.or(positive),
            _ => {}
        }
    }

    /// Takes the text of a field.
    pub fn text(&mut self, directory: Directory, tag: u16, text: &str) {
        let text = text.trim();
        match (directory, tag) {
            (Directory::Gps, 1) => self.is_south = text.starts_with(['S', 's']),
            (Directory::Gps, 3) => self.is_west = text.starts_with(['W', 'w']),
            (Directory::Gps, _) | (_, MAKER_NOTE) => {}
            (_, 0x010f) => self.make = name(text),
            (_, 0x0110) => self.model = name(text),
            (_, 0xa434) => self.lens = name(text),
            (_, 0x0132) => self.changed = local_micros(text),
            (_, 0x9003) => self.original = local_micros(text),
            (_, 0x9290) => self.changed_micros = fraction_micros(text),
            (_, 0x9291) => self.original_micros = fraction_micros(text),
            (_, 0x9010) => self.changed_offset = offset_minutes(text),
            (_, 0x9011) => self.original_offset = offset_minutes(text),
            _ => {}
        }
    }

    /// Size in pixels as IFD0 gives it (of a TIFF file).
    pub fn size(&self) -> Option<(u32, u32)> {
        self.width.zip(self.height)
    }

    /// Writes what was found into `facts`, where they have no value yet.
    pub fn fill(&self, facts: &mut PhotoFacts) {
        let (taken_at, offset) = match self.original {
            Some(micros) => (Some(micros + self.original_micros), self.original_offset),
            None => (
                self.changed.map(|micros| micros + self.changed_micros),
                self.changed_offset,
            ),
        };
        if facts.taken_at.is_none() {
            facts.taken_at = taken_at;
            facts.taken_at_offset_minutes = offset.filter(|_| taken_at.is_some());
        }
        let signed = |value: f64, is_negative| if is_negative { -value } else { value };
        let place = self.latitude.zip(self.longitude).filter(|&place| place != (0.0, 0.0));
        let place = place.map(|(north, east)| (signed(north, self.is_south), signed(east, self.is_west)));
        facts.orientation = facts.orientation.or(self.orientation);
        facts.camera = facts
            .camera
            .take()
            .or_else(|| camera(self.make.as_deref(), self.model.as_deref()));
        facts.lens = facts.lens.take().or_else(|| self.lens.clone());
        facts.exposure_secs = facts.exposure_secs.or(self.exposure_secs);
        facts.f_number = facts.f_number.or(self.f_number);
        facts.iso = facts.iso.or(self.iso);
        facts.focal_length_mm = facts.focal_length_mm.or(self.focal_length_mm);
        facts.gps = facts.gps.or(place);
        facts.rating = facts.rating.or(self.rating);
    }
}

/// A text that can be the name of a thing.
fn name(text: &str) -> Option<String> {
    let is_name = !text.is_empty()
        && text.len() <= MAX_NAME_BYTES
        && !text.contains(['{', '\n', '\0'])
        && text.chars().any(char::is_alphanumeric);
    is_name.then(|| text.to_owned())
}

/// `Canon` and `Canon EOS 6D` are a `Canon EOS 6D`; `NIKON CORPORATION` and `NIKON D90` a
/// `NIKON D90`.
fn camera(make: Option<&str>, model: Option<&str>) -> Option<String> {
    let (Some(make), Some(model)) = (make, model) else {
        return make.or(model).map(str::to_owned);
    };
    let first_word = make.split_whitespace().next().unwrap_or(make);
    let repeats = model
        .get(..first_word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(first_word));
    Some(if repeats {
        model.to_owned()
    } else {
        format!("{make} {model}")
    })
}

/// Degrees, minutes and seconds as one number, where it is a place on earth.
fn degrees(values: &[f64], most: f64) -> Option<f64> {
    // Writers leave 0/0 where a part is unused.
    let part = |index: usize| {
        values
            .get(index)
            .copied()
            .filter(|value| value.is_finite())
            .unwrap_or(0.0)
    };
    let value = part(0) + (part(1) * 60.0 + part(2)) / 3600.0;
    (0.0..=most).contains(&value).then_some(value)
}

/// `2024:03:09 12:34:56` (some write dashes or a T) as microseconds since 1970 on that clock.
fn local_micros(text: &str) -> Option<i64> {
    let numbers: Vec<i64> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .take(6)
        .map_while(|part| part.parse().ok().filter(|&number| number < 10_000))
        .collect();
    let &[year, month, day, hour, minute, second] = numbers.as_slice() else {
        return None;
    };
    let is_valid =
        year > 0 && (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    is_valid.then(|| {
        let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        seconds * 1_000_000
    })
}

/// Days of the Gregorian calendar, years counted from March so that a leap day ends one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year_from_march = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let leap_days = year_from_march / 4 - year_from_march / 100 + year_from_march / 400;
    // 719,468 days lie between 1 March of year 0 and 1 January 1970.
    year_from_march * 365 + leap_days + (153 * month_from_march + 2) / 5 + day - 1 - 719_468
}

/// Decimal digits behind the second.
fn fraction_micros(text: &str) -> i64 {
    let digits = text.chars().map_while(|c| c.to_digit(10));
    digits
        .chain(std::iter::repeat(0))
        .take(6)
        .fold(0, |micros, digit| micros * 10 + i64::from(digit))
}

/// `+02:00`, `-0530` or `Z` in minutes.
fn offset_minutes(text: &str) -> Option<i32> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..4).unwrap_or("0").parse().ok()?;
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_times() {
        assert_eq!(local_micros("1970:01:01 00:00:00"), Some(0));
        assert_eq!(local_micros("2024:02:29 12:34:56"), Some(1_709_210_096_000_000));
        assert_eq!(local_micros("1969-12-31T23:59:59"), Some(-1_000_000));
        assert_eq!(local_micros("0000:00:00 00:00:00"), None);
        assert_eq!(local_micros("2024:13:01 00:00:00"), None);
        assert_eq!(local_micros("    :  :     :  :  "), None);
        assert_eq!(local_micros("99999999999999999999:1:1 1:1:1"), None);
        assert_eq!(fraction_micros("12"), 120_000);
        assert_eq!(fraction_micros("1234567"), 123_456);
        assert_eq!(fraction_micros(""), 0);
    }

    #[test]
    fn offsets() {
        assert_eq!(offset_minutes("+02:00"), Some(120));
        assert_eq!(offset_minutes("-0530"), Some(-330));
        assert_eq!(offset_minutes("Z"), Some(0));
        assert_eq!(offset_minutes("+99:00"), None);
        assert_eq!(offset_minutes("é"), None);
        assert_eq!(offset_minutes(""), None);
    }

    #[test]
    fn cameras_do_not_repeat_their_make() {
        assert_eq!(camera(Some("Canon"), Some("Canon EOS 6D")).unwrap(), "Canon EOS 6D");
        assert_eq!(
            camera(Some("NIKON CORPORATION"), Some("NIKON D90")).unwrap(),
            "NIKON D90"
        );
        assert_eq!(camera(Some("SONY"), Some("ILCE-7M3")).unwrap(), "SONY ILCE-7M3");
        assert_eq!(camera(None, Some("猫")).unwrap(), "猫");
        assert_eq!(camera(Some("abc"), Some("猫")).unwrap(), "abc 猫");
        assert_eq!(name("prompt:{\"1\": {}}"), None);
    }

    #[test]
    fn positions() {
        assert_eq!(degrees(&[48.0, 30.0, 36.0], 90.0), Some(48.51));
        assert_eq!(degrees(&[48.5, f64::NAN], 90.0), Some(48.5));
        assert_eq!(degrees(&[91.0], 90.0), None);
    }
}
