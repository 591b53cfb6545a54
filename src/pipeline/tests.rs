//! The run with stand-ins: images in memory, labelers that wait or fail, a sink that remembers.

use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::*;
use crate::label::{BatchId, LabelError, Labeler, Labels, Pictures};
use crate::progress::Hidden;
use crate::record::{
    Alpha, Destination, FileStat, Filter, Fit, Geometry, GroupSet, ImageId, OpenImage, ReadSeek, SourceImage,
};
use crate::write::WriteError;

const GEOMETRY: Geometry = Geometry {
    size: 2,
    fit: Fit::Squash,
    filter: Filter::Bicubic,
    alpha: Alpha::Over,
    background: [255; 3],
};

struct Bytes(Arc<Vec<u8>>);

/// Images whose bytes were asked for before they were wanted.
static ASKED_AHEAD: AtomicUsize = AtomicUsize::new(0);

impl OpenImage for Bytes {
    fn read_ahead(&self) {
        ASKED_AHEAD.fetch_add(1, Ordering::Relaxed);
    }

    fn open(&self) -> std::io::Result<Box<dyn ReadSeek>> {
        Ok(Box::new(Cursor::new(self.0.to_vec())))
    }
}

/// A grey PNG of 2 x 2 whose pixels are `value`.
fn png_of(value: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder
        .write_header()
        .expect("header")
        .write_image_data(&[value; 4])
        .expect("pixels");
    bytes
}

fn work(count: u64) -> Box<dyn Iterator<Item = WorkItem> + Send> {
    Box::new((0..count).map(|sequence| {
        let bytes = Arc::new(png_of(sequence as u8));
        let id = ImageId {
            uri: format!("memory/{sequence}"),
            root: "memory".into(),
            path: sequence.to_string(),
            stat: FileStat {
                size: bytes.len() as u64,
                modified_at: 0,
            },
            sidecars: Default::default(),
        };
        let image = SourceImage {
            sequence,
            id,
            open: Arc::new(Bytes(bytes)),
        };
        WorkItem {
            image,
            destination: Destination::Append,
            groups: GroupSet::all(1),
        }
    }))
}

/// Says the first byte of each square; waits a little, fails at one value.
struct FirstByte {
    wait: Duration,
    fails_at: Option<u8>,
}

impl Labeler for FirstByte {
    fn name(&self) -> &str {
        "first-byte"
    }

    fn fields(&self) -> Vec<FieldRef> {
        vec![Arc::new(Field::new("first_byte", DataType::Int64, true))]
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn is_demo(&self) -> bool {
        false
    }

    fn device(&self) -> &str {
        "stand-in"
    }

    fn geometries(&self) -> Vec<Geometry> {
        vec![GEOMETRY]
    }

    fn label(&mut self, pictures: &Pictures<'_>) -> Result<Labels, LabelError> {
        std::thread::sleep(self.wait);
        let squares = pictures.squares(0);
        if squares.iter().flatten().any(|square| Some(square[0]) == self.fails_at) {
            let message = "the model broke".to_owned();
            return Err(LabelError::Option {
                model: "first-byte".into(),
                message,
            });
        }
        let values: Int64Array = squares
            .iter()
            .map(|square| square.map(|square| i64::from(square[0])))
            .collect();
        Ok(Labels {
            columns: vec![Arc::new(values) as ArrayRef],
            failures: Vec::new(),
        })
    }
}

#[derive(Clone, Default)]
struct Remember {
    rows: Arc<Mutex<Vec<(u64, i64)>>>,
    fails_after: Option<usize>,
    ended: Arc<Mutex<Option<Ending>>>,
}

impl Sink for Remember {
    fn write(&mut self, batch: LabeledBatch) -> Result<(), WriteError> {
        use arrow::array::AsArray;
        let mut rows = self.rows.lock().expect("not poisoned");
        if self.fails_after.is_some_and(|limit| rows.len() >= limit) {
            return Err(WriteError::Stopped);
        }
        let values = batch.columns[0].1.as_primitive::<arrow::datatypes::Int64Type>();
        rows.extend(
            batch
                .records
                .iter()
                .zip(values.values())
                .map(|(record, value)| (record.sequence, *value)),
        );
        Ok(())
    }

    fn tick(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    fn finish(self: Box<Self>, ending: Ending) -> Result<WriteReport, WriteError> {
        *self.ended.lock().expect("not poisoned") = Some(ending);
        Ok(WriteReport::default())
    }
}

fn run_with<L: Labeler + 'static>(
    count: u64,
    devices: Vec<L>,
    sink: &Remember,
    stop: &Stop,
) -> anyhow::Result<RunReport> {
    let mut report = RunReport::default();
    let run_of = Run {
        work: work(count),
        prepare: PrepareOptions {
            geometries: vec![GEOMETRY],
            max_file_bytes: u64::MAX,
            decode: Default::default(),
            read: Default::default(),
            exif_orientation: true,
            sidecars: false,
            stealth: crate::prepare::StealthSearch::Off,
            keep_raw: true,
            hash: true,
            twins: None,
        },
        devices: devices
            .into_iter()
            .map(|labeler| Device::new(vec![Box::new(labeler)], &[GEOMETRY], None))
            .collect(),
        sink: Box::new(sink.clone()),
        options: RunOptions {
            images_per_batch: 4,
            threads: 2,
        },
        ending: Ending::Complete,
        stop,
        progress: &Hidden,
    };
    run(run_of, &mut report)?;
    Ok(report)
}

fn quick() -> FirstByte {
    FirstByte {
        wait: Duration::ZERO,
        fails_at: None,
    }
}

#[test]
fn every_image_is_a_row_in_source_order_also_with_two_devices() {
    let slow = || FirstByte {
        wait: Duration::from_millis(3),
        fails_at: None,
    };
    for devices in [vec![quick()], vec![slow(), quick()]] {
        let sink = Remember::default();
        let report = run_with(201, devices, &sink, &Stop::new(None)).expect("the run succeeds");
        let expected: Vec<(u64, i64)> = (0..201).map(|n| (n, n as i64)).collect();
        assert_eq!(*sink.rows.lock().expect("rows"), expected);
        assert_eq!((report.labeled, report.failed), (201, 0));
        assert_eq!(*sink.ended.lock().expect("ending"), Some(Ending::Complete));
    }
}

/// A model on a device of its own, which takes a while; notes when it is given a batch and when its
/// labels are asked for.
struct OnDevice {
    inner: FirstByte,
    /// When each begun batch is done.
    done_at: std::collections::HashMap<BatchId, Instant>,
    notes: Arc<Mutex<Vec<(&'static str, u8)>>>,
}

impl Labeler for OnDevice {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn fields(&self) -> Vec<FieldRef> {
        self.inner.fields()
    }

    fn fingerprint(&self) -> &str {
        self.inner.fingerprint()
    }

    fn is_demo(&self) -> bool {
        self.inner.is_demo()
    }

    fn device(&self) -> &str {
        self.inner.device()
    }

    fn geometries(&self) -> Vec<Geometry> {
        self.inner.geometries()
    }

    fn begin(&mut self, pictures: &Pictures<'_>) {
        let is_new = self.done_at.insert(pictures.batch(), Instant::now() + self.inner.wait);
        assert!(is_new.is_none(), "a batch is begun once");
        self.note("begun", pictures);
    }

    fn is_ready(&mut self, batch: BatchId) -> bool {
        Instant::now() >= self.done_at[&batch]
    }

    fn label(&mut self, pictures: &Pictures<'_>) -> Result<Labels, LabelError> {
        self.note("asked for", pictures);
        let done_at = self.done_at.remove(&pictures.batch()).expect("it was begun");
        std::thread::sleep(done_at.saturating_duration_since(Instant::now()));
        quick().label(pictures)
    }
}

impl OnDevice {
    fn note(&self, what: &'static str, pictures: &Pictures<'_>) {
        let first = pictures.squares(0)[0].expect("a picture")[0];
        self.notes.lock().expect("not poisoned").push((what, first));
    }
}

#[test]
fn a_device_is_given_the_next_batch_before_it_is_done_with_the_last() {
    let notes = Arc::default();
    let labeler = OnDevice {
        inner: FirstByte {
            wait: Duration::from_millis(10),
            fails_at: None,
        },
        done_at: Default::default(),
        notes: Arc::clone(&notes),
    };
    let sink = Remember::default();
    run_with(80, vec![labeler], &sink, &Stop::new(None)).expect("the run succeeds");
    let expected: Vec<(u64, i64)> = (0..80).map(|n| (n, n as i64)).collect();
    assert_eq!(*sink.rows.lock().expect("rows"), expected);
    let notes = notes.lock().expect("notes").clone();
    let place = |what, first| notes.iter().position(|note| *note == (what, first)).expect("a note");
    let firsts = (0..76_u8).step_by(4);
    let ahead = firsts.filter(|first| place("begun", first + 4) < place("asked for", *first));
    let ahead = ahead.count();
    assert!(ahead >= 15, "{ahead} of 19 were begun ahead: {notes:?}");
}

#[test]
fn a_model_that_breaks_ends_the_run_and_keeps_what_was_finished() {
    let sink = Remember::default();
    let broken = FirstByte {
        wait: Duration::ZERO,
        fails_at: Some(100),
    };
    let error = run_with(201, vec![broken], &sink, &Stop::new(None)).expect_err("the model broke");
    assert!(format!("{error:#}").contains("the model broke"), "{error:#}");
    assert_eq!(sink.rows.lock().expect("rows").len(), 100);
    assert_eq!(*sink.ended.lock().expect("ending"), Some(Ending::Early));
}

#[test]
fn a_writer_that_fails_is_the_error_and_nobody_hangs() {
    let sink = Remember {
        fails_after: Some(8),
        ..Remember::default()
    };
    let error = run_with(5000, vec![quick(), quick()], &sink, &Stop::new(None)).expect_err("the writer failed");
    assert!(format!("{error:#}").contains("writing stopped"), "{error:#}");
}

#[test]
fn a_deadline_ends_the_run_soon_with_whole_batches_in_order() {
    let sink = Remember::default();
    let slow = FirstByte {
        wait: Duration::from_millis(20),
        fails_at: None,
    };
    let stop = Stop::new(Some(Instant::now() + Duration::from_millis(150)));
    run_with(100_000, vec![slow], &sink, &stop).expect("an early end is no error");
    let rows = sink.rows.lock().expect("rows");
    // 7 batches of 4 fit before the deadline; of the 256 pictures ahead only what the device has follows.
    assert!((1..100).contains(&rows.len()), "{} rows", rows.len());
    assert!(
        rows.iter()
            .enumerate()
            .all(|(index, (sequence, _))| index as u64 == *sequence)
    );
    assert_eq!(*sink.ended.lock().expect("ending"), Some(Ending::Early));
}

#[test]
fn bytes_are_asked_for_ahead_and_in_order() {
    let before = ASKED_AHEAD.load(Ordering::Relaxed);
    let mut ahead = read_ahead::ReadAhead::new(work(100));
    let first = ahead.next().expect("an image");
    assert_eq!(first.image.sequence, 0);
    // Other tests ask as well, so this is a lower bound.
    assert!(ASKED_AHEAD.load(Ordering::Relaxed) >= before + 17);
    let rest: Vec<u64> = ahead.map(|item| item.image.sequence).collect();
    assert_eq!(rest, (1..100).collect::<Vec<u64>>());
}
