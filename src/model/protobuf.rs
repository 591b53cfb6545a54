//! Just enough of protobuf's wire format to walk a foreign file of gigabytes without reading its
//! payload: fields one by one, strings up to a limit, everything else skipped. Nothing is
//! allocated by a length that the file states.

use std::io::{self, BufRead, BufReader, Read, Seek};

/// Most fields that are looked at; the largest exported graphs have some hundred thousand.
const MAX_FIELDS: u64 = 20_000_000;

/// Longest string that is read, in bytes.
const MAX_TEXT: u64 = 64 << 10;

/// Why a file cannot be walked.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It cannot be read.
    #[error("reading it: {0}")]
    Io(#[from] io::Error),
    /// It is not what protobuf writes.
    #[error("at byte {at}: {what}")]
    Malformed {
        /// Where.
        at: u64,
        /// What was found.
        what: &'static str,
    },
}

/// One field: its number, and its value or the length of its bytes, which the caller must take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Number in the message.
    pub number: u32,
    /// What it holds.
    pub value: Value,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Varint(u64),
    /// Four bytes, passed over.
    Fixed32,
    /// Eight bytes, passed over.
    Fixed64,
    /// A string, a message or packed numbers: so many bytes come next.
    Bytes(u64),
}

/// A walk through a message.
pub struct Wire<R> {
    source: BufReader<R>,
    position: u64,
    fields: u64,
}

impl<R: Read + Seek> Wire<R> {
    /// A walk from the start of `source`.
    pub fn new(source: R) -> Self {
        Self {
            source: BufReader::with_capacity(64 << 10, source),
            position: 0,
            fields: 0,
        }
    }

    /// Where it stands.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The first bytes, fewer where the file is shorter.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    /// The next field of a message that ends at `end`; none at its end.
    pub fn next(&mut self, end: u64) -> Result<Option<Field>, WireError> {
        if self.position >= end {
            return Ok(None);
        }
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(self.malformed("it has more fields than any graph"));
        }
        let tag = self.varint(end)?;
        let number = u32::try_from(tag >> 3).map_err(|_| self.malformed("a field number out of range"))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint(end)?),
            1 => {
                self.skip(8, end)?;
                Value::Fixed64
            }
            2 => {
                let length = self.varint(end)?;
                self.ends_within(length, end)?;
                Value::Bytes(length)
            }
            5 => {
                self.skip(4, end)?;
                Value::Fixed32
            }
            _ => return Err(self.malformed("a field of an unknown type")),
        };
        if number == 0 {
            return Err(self.malformed("a field without a number"));
        }
        Ok(Some(Field { number, value }))
    }

    /// A number of a message that ends at `end`.
    pub fn varint(&mut self, end: u64) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            if self.position >= end {
                return Err(self.malformed("a number runs over the end of its message"));
            }
            let mut byte = [0];
            self.source.read_exact(&mut byte).map_err(|error| self.short(error))?;
            self.position += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed("a number of more than ten bytes"))
    }

    /// Passes over `length` bytes of a message that ends at `end`.
    pub fn skip(&mut self, length: u64, end: u64) -> Result<(), WireError> {
        self.ends_within(length, end)?;
        let by = i64::try_from(length).map_err(|_| self.malformed("a length out of range"))?;
        self.source.seek_relative(by)?;
        self.position += length;
        Ok(())
    }

    /// A string of `length` bytes of a message that ends at `end`; bytes that are no UTF-8 are
    /// replaced.
    pub fn text(&mut self, length: u64, end: u64) -> Result<String, WireError> {
        self.ends_within(length, end)?;
        if length > MAX_TEXT {
            return Err(self.malformed("a name of more than 64 KiB"));
        }
        let mut bytes = vec![0; length as usize];
        self.source.read_exact(&mut bytes).map_err(|error| self.short(error))?;
        self.position += length;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The error for what stands here.
    pub fn malformed(&self, what: &'static str) -> WireError {
        WireError::Malformed {
            at: self.position,
            what,
        }
    }

    fn ends_within(&self, length: u64, end: u64) -> Result<(), WireError> {
        if length > end.saturating_sub(self.position) {
            return Err(self.malformed("a field runs over the end of its message"));
        }
        Ok(())
    }

    fn short(&self, error: io::Error) -> WireError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            self.malformed("the file ends in the middle of a field")
        } else {
            error.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn fields_are_walked_and_payload_is_passed_over() {
        // 1: 300; 2: "ab"; 3: fixed32; 4: fixed64.
        let bytes = [
            8, 0xac, 2, 18, 2, b'a', b'b', 29, 1, 2, 3, 4, 33, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        let end = bytes.len() as u64;
        let mut wire = Wire::new(Cursor::new(bytes));
        assert_eq!(wire.next(end).unwrap().unwrap().value, Value::Varint(300));
        assert_eq!(wire.next(end).unwrap().unwrap().value, Value::Bytes(2));
        assert_eq!(wire.text(2, end).unwrap(), "ab");
        assert_eq!(wire.next(end).unwrap().unwrap().value, Value::Fixed32);
        let last = Field {
            number: 4,
            value: Value::Fixed64,
        };
        assert_eq!(wire.next(end).unwrap(), Some(last));
        assert_eq!(wire.next(end).unwrap(), None);
    }

    #[test]
    fn what_runs_over_an_end_is_refused() {
        let cases: [&[u8]; 6] = [
            &[18, 3, 1, 2],
            &[8, 0x80],
            &[18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[11, 0],
            &[0, 0],
        ];
        for bytes in cases {
            let mut wire = Wire::new(Cursor::new(bytes));
            assert!(wire.next(bytes.len() as u64).is_err(), "{bytes:?}");
        }
    }
}
