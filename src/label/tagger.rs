//! Taggers: every tag above a low floor with its score, and the rating where the model has one.
//! Thresholds are applied by whoever reads the scores.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Float32Builder, StringBuilder};
use arrow::datatypes::{DataType, FieldRef};

use super::batch::ImageModel;
use super::clip::fingerprint;
use super::columns::{self, ColumnNames};
use super::tower::broken_values;
use super::{BatchChoice, BatchId, LabelError, Labeler, LabelerOptions, Labels, Pictures};
use crate::model::labels::{self, Category, Tag};
use crate::model::manifest::Activation;
use crate::model::{Model, ModelError, Runtime, check};
use crate::record::{ErrorKind, Failure, Geometry};

/// Raised by hand when the same model and options give other values.
const STAGE_VERSION: u32 = 1;

/// Makes `tags`, `tag_scores`, `tag_categories`, and `rating`, `rating_score` where the label file
/// has ratings.
pub struct TaggerLabeler {
    image: ImageModel,
    name: String,
    geometry: Geometry,
    demo: bool,
    tags: TagSet,
    activation: Activation,
    floor: f32,
    fields: Vec<FieldRef>,
    fingerprint: String,
}

/// The label file, split into what becomes tags and what becomes the rating.
struct TagSet {
    tags: Vec<Tag>,
    categories: Vec<Cow<'static, str>>,
    /// Columns of the output that are ratings.
    ratings: Vec<usize>,
}

/// What a row of scores says.
#[derive(Debug, PartialEq)]
struct Chosen {
    /// Column and score, by falling score, equals by column.
    tags: Vec<(usize, f32)>,
    /// Column and score of the likeliest rating.
    rating: Option<(usize, f32)>,
}

impl TaggerLabeler {
    /// Loads the graph and the label file and checks one against the other.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open(model: &Model, runtime: &dyn Runtime, options: &LabelerOptions) -> Result<Self, LabelError> {
        let manifest = &model.manifest;
        let names = ColumnNames::new(options.columns.as_deref(), &manifest.name)?;
        let Some(output) = &manifest.output else {
            let message = "it has no [output]".to_owned();
            return Err(ModelError::Contract {
                model: manifest.name.clone(),
                message,
            }
            .into());
        };
        let floor = options.floor.unwrap_or(output.floor);
        if !(0.0..=1.0).contains(&floor) {
            let message = format!("`floor` is {floor}; 0 to 1 is wanted");
            return Err(LabelError::Option {
                model: manifest.name.clone(),
                message,
            });
        }
        let label_file = model.file(&output.labels)?;
        let place = format!("{}/{}", manifest.name, output.labels);
        let tags = TagSet::new(labels::parse(&label_file.bytes()?, output.label_format, &place)?);
        let (image, made_up) = ImageModel::open(model, runtime, options)?;
        check::label_count(manifest, tags.tags.len(), image.width())?;
        let activation = check::activation(manifest, output.activation, &made_up, image.width())?;
        Ok(Self {
            name: manifest.name.clone(),
            geometry: manifest.image.geometry(),
            demo: manifest.demo,
            activation,
            floor,
            fields: tags.fields(&names),
            fingerprint: fingerprint(
                "tagger",
                STAGE_VERSION,
                &[
                    image.sha256(),
                    &label_file.sha256,
                    &manifest.image.describe_preprocessing(),
                    &format!("{} {floor}", activation.as_str()),
                ],
            ),
            tags,
            image,
        })
    }
}

impl Labeler for TaggerLabeler {
    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Vec<FieldRef> {
        self.fields.clone()
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn geometries(&self) -> Vec<Geometry> {
        vec![self.geometry]
    }

    fn is_demo(&self) -> bool {
        self.demo
    }

    fn device(&self) -> &str {
        self.image.device()
    }

    fn fit_batch(&mut self, images: u64) -> Result<Vec<BatchChoice>, LabelError> {
        Ok(self.image.fit_batch(images)?.into_iter().collect())
    }

    fn begin(&mut self, pictures: &Pictures<'_>) {
        self.image.begin(pictures.batch(), pictures.squares(0));
    }

    fn is_ready(&mut self, batch: BatchId) -> bool {
        self.image.is_ready(batch)
    }

    fn label(&mut self, pictures: &Pictures<'_>) -> Result<Labels, LabelError> {
        let mut given = self.image.encode(pictures.batch(), pictures.squares(0))?;
        let present = given.rows.iter().flatten().count();
        let mut broken = 0;
        let mut chosen = Vec::with_capacity(given.rows.len());
        for (index, row) in given.rows.iter_mut().enumerate() {
            let scores = row.as_mut().map(|row| {
                activate(row, self.activation);
                row.iter()
                    .all(|score| score.is_finite())
                    .then(|| self.tags.choose(row, self.floor))
            });
            if let Some(None) = scores {
                broken += 1;
                given.failures.push((
                    index,
                    Failure::new(ErrorKind::Model, "the model gives a score that is not a number"),
                ));
            }
            chosen.push(scores.flatten());
        }
        if broken > 1 && broken == present {
            return Err(broken_values(&self.name));
        }
        given.failures.sort_by_key(|(row, _)| *row);
        Ok(Labels {
            columns: self.tags.columns(&chosen),
            failures: given.failures,
        })
    }
}

impl TagSet {
    fn new(tags: Vec<Tag>) -> Self {
        let categories = tags.iter().map(|tag| tag.category.name()).collect();
        let ratings = tags
            .iter()
            .enumerate()
            .filter(|(_, tag)| tag.category == Category::Rating);
        let ratings = ratings.map(|(index, _)| index).collect();
        Self {
            tags,
            categories,
            ratings,
        }
    }

    fn fields(&self, names: &ColumnNames) -> Vec<FieldRef> {
        let mut fields = vec![
            names.field("tags", columns::list_type(DataType::Utf8)),
            names.field("tag_scores", columns::list_type(DataType::Float32)),
            names.field("tag_categories", columns::list_type(DataType::Utf8)),
        ];
        if !self.ratings.is_empty() {
            fields.push(names.field("rating", DataType::Utf8));
            fields.push(names.field("rating_score", DataType::Float32));
        }
        fields
    }

    /// Tags at or above the floor by falling score, equals in the order of the label file; and the
    /// likeliest rating, of equals the first.
    fn choose(&self, scores: &[f32], floor: f32) -> Chosen {
        let is_tag = |index: &usize| self.tags[*index].category != Category::Rating;
        let above = scores
            .iter()
            .copied()
            .enumerate()
            .filter(|(index, score)| *score >= floor && is_tag(index));
        let mut tags: Vec<(usize, f32)> = above.collect();
        // A stable sort keeps equals by column.
        tags.sort_by(|left, right| right.1.total_cmp(&left.1));
        let mut rating: Option<(usize, f32)> = None;
        for &index in &self.ratings {
            if rating.is_none_or(|(_, best)| scores[index] > best) {
                rating = Some((index, scores[index]));
            }
        }
        Chosen { tags, rating }
    }

    fn columns(&self, rows: &[Option<Chosen>]) -> Vec<arrow::array::ArrayRef> {
        let (mut tags, mut scores, mut categories) =
            (columns::text_lists(), columns::score_lists(), columns::text_lists());
        let (mut ratings, mut rating_scores) = (StringBuilder::new(), Float32Builder::new());
        for row in rows {
            for &(index, score) in row.iter().flat_map(|row| &row.tags) {
                tags.values().append_value(&self.tags[index].name);
                scores.values().append_value(score);
                categories.values().append_value(&self.categories[index]);
            }
            tags.append(row.is_some());
            scores.append(row.is_some());
            categories.append(row.is_some());
            let rating = row.as_ref().and_then(|row| row.rating);
            ratings.append_option(rating.map(|(index, _)| &self.tags[index].name));
            rating_scores.append_option(rating.map(|(_, score)| score));
        }
        let mut made: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(tags.finish()),
            Arc::new(scores.finish()),
            Arc::new(categories.finish()),
        ];
        if !self.ratings.is_empty() {
            made.push(Arc::new(ratings.finish()));
            made.push(Arc::new(rating_scores.finish()));
        }
        made
    }
}

/// Makes a graph's output into probabilities.
pub(super) fn activate(row: &mut [f32], activation: Activation) {
    match activation {
        Activation::None => {}
        Activation::Sigmoid => {
            for value in row {
                *value = 1.0 / (1.0 + (-*value).exp());
            }
        }
        Activation::Softmax => {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for value in row.iter_mut() {
                *value = (*value - largest).exp();
                sum += *value;
            }
            for value in row {
                *value /= sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(tags: &[(&str, u32)]) -> TagSet {
        let tag = |&(name, code): &(&str, u32)| Tag {
            name: name.to_owned(),
            category: Category::from_code(code),
        };
        TagSet::new(tags.iter().map(tag).collect())
    }

    #[test]
    fn tags_fall_by_score_with_ties_by_column_down_to_the_floor() {
        let tags = set(&[("general", 9), ("explicit", 9), ("a", 0), ("b", 0), ("c", 4), ("d", 0)]);
        let chosen = tags.choose(&[0.9, 0.9, 0.3, 0.5, 0.5, 0.299], 0.3);
        assert_eq!(chosen.tags, [(3, 0.5), (4, 0.5), (2, 0.3)]);
        assert_eq!(chosen.rating, Some((0, 0.9)));
        let names: Vec<&str> = tags.categories.iter().map(AsRef::as_ref).collect();
        assert_eq!(
            names,
            ["rating", "rating", "general", "general", "character", "general"]
        );
    }

    #[test]
    fn without_ratings_there_are_no_rating_columns() {
        let names = ColumnNames::new(Some("anime"), "m").unwrap();
        let names: Vec<String> = set(&[("a", 0)])
            .fields(&names)
            .iter()
            .map(|field| field.name().clone())
            .collect();
        assert_eq!(names, ["anime_tags", "anime_tag_scores", "anime_tag_categories"]);
        assert!(ColumnNames::new(Some("My tags"), "m").is_err());
    }

    #[test]
    fn activations_by_their_definition() {
        let mut row = [0.0, 2.0, -50.0];
        activate(&mut row, Activation::Sigmoid);
        assert_eq!(row[0].to_bits(), 0.5_f32.to_bits());
        assert!((row[1] - 0.880_797).abs() < 1e-6 && row[2] >= 0.0 && row[2] < 1e-20);
        let mut row = [1000.0, 1000.0, 0.0];
        activate(&mut row, Activation::Softmax);
        assert_eq!(row.map(f32::to_bits), [0.5, 0.5, 0.0_f32].map(f32::to_bits));
    }
}
