//! What the types of a manifest cannot say: numbers in range, keys that go together, files that
//! stay in their folder.

use std::path::{Component, Path};

use super::{Activation, CaptionSpec, ClassifyTable, Manifest, ModelKind, ScoreSpec};
use crate::model::source::FileSource;
use crate::record::Fit;

/// Largest square that a model may ask for, in pixels a side.
const MAX_SIZE: u32 = 4096;

impl Manifest {
    /// What the types cannot say. The message names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
        if self.name.is_empty() || !self.name.chars().all(plain) || self.name.starts_with('.') {
            return Err(format!(
                "`name` is `{}`; lower case letters, digits, dots and dashes are wanted",
                self.name
            ));
        }
        self.check_image()?;
        self.check_files()?;
        self.check_tensor_names()?;
        self.check_aliases()?;
        match (self.kind, &self.score) {
            (ModelKind::Score, None) => return Err("`kind` is score, and there is no `[score]`".into()),
            (ModelKind::Clip | ModelKind::Tagger | ModelKind::Captioner, Some(_)) => {
                return Err(format!(
                    "`[score]` belongs to scores, and `kind` is {}",
                    self.kind.as_str()
                ));
            }
            (_, score) => score.as_ref().map_or(Ok(()), ScoreSpec::check)?,
        }
        match (self.kind, &self.caption) {
            (ModelKind::Captioner, None) => return Err("`kind` is captioner, and there is no `[caption]`".into()),
            (ModelKind::Clip | ModelKind::Tagger | ModelKind::Score, Some(_)) => {
                return Err(format!(
                    "`[caption]` belongs to captioners, and `kind` is {}",
                    self.kind.as_str()
                ));
            }
            (_, caption) => caption.as_ref().map_or(Ok(()), CaptionSpec::check)?,
        }
        match self.kind {
            ModelKind::Score | ModelKind::Captioner
                if self.text.is_some() || self.output.is_some() || !self.classify.is_empty() =>
            {
                let kind = self.kind.as_str();
                Err(format!(
                    "`[text]`, `[output]` and `[[classify]]` belong to other kinds, and `kind` is {kind}"
                ))
            }
            ModelKind::Clip if self.output.is_some() => Err("`[output]` belongs to taggers, and `kind` is clip".into()),
            ModelKind::Clip if self.text.is_none() && !self.classify.is_empty() => {
                Err("`[[classify]]` needs the text tower, and there is no `[text]`".into())
            }
            ModelKind::Tagger if self.output.is_none() => Err("`kind` is tagger, and there is no `[output]`".into()),
            ModelKind::Tagger if self.text.is_some() || !self.classify.is_empty() => {
                Err("`[text]` and `[[classify]]` belong to clips, and `kind` is tagger".into())
            }
            ModelKind::Clip | ModelKind::Tagger | ModelKind::Score | ModelKind::Captioner => self.check_numbers(),
        }
    }

    fn check_aliases(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/' | '@');
        match self
            .aliases
            .iter()
            .find(|name| name.is_empty() || !name.chars().all(plain))
        {
            Some(name) => Err(format!(
                "`aliases` names `{name}`; letters, digits, dots, dashes and slashes are wanted"
            )),
            None => Ok(()),
        }
    }

    fn check_image(&self) -> Result<(), String> {
        let image = &self.image;
        if image.size == 0 || image.size > MAX_SIZE {
            return Err(format!("`image.size` is {}; 1 to {MAX_SIZE} is wanted", image.size));
        }
        if let Fit::CropFrom { side } | Fit::SquashCrop { side, .. } = image.geometry
            && !(image.size..=MAX_SIZE).contains(&side)
        {
            return Err(format!(
                "`image.geometry` has the side {side}; {} to {MAX_SIZE} is wanted",
                image.size
            ));
        }
        if let Fit::SquashCrop { jpeg: Some(jpeg), .. } = image.geometry
            && !(1..=100).contains(&jpeg)
        {
            return Err(format!(
                "`image.geometry` has the JPEG quality {jpeg}; 1 to 100 is wanted"
            ));
        }
        if image.mean.is_some() != image.std.is_some() {
            return Err("`image.mean` and `image.std` go together; one of them is missing".into());
        }
        let numbers = image.mean.iter().chain(&image.std).flatten();
        if numbers.clone().any(|number| !number.is_finite()) || image.std.iter().flatten().any(|&std| std <= 0.0) {
            return Err("`image.mean` must be finite and `image.std` above zero".into());
        }
        Ok(())
    }

    /// Tensor names go to C interfaces as they are.
    fn check_tensor_names(&self) -> Result<(), String> {
        let text = self.text.iter().flat_map(|text| {
            let mask = text.attention_mask.as_ref().map(|mask| ("text.attention_mask", mask));
            [("text.input", &text.input), ("text.output", &text.output)]
                .into_iter()
                .chain(mask)
        });
        let head = self.score.iter().filter_map(|score| score.head.as_ref());
        let head = head.flat_map(|head| [("score.head.input", &head.input), ("score.head.output", &head.output)]);
        let image = [("image.input", &self.image.input), ("image.output", &self.image.output)];
        match image
            .into_iter()
            .chain(text)
            .chain(head)
            .find(|(_, name)| name.is_empty() || name.chars().any(char::is_control))
        {
            Some((key, name)) => Err(format!("`{key}` is {name:?}; the name of a tensor is wanted")),
            None => Ok(()),
        }
    }

    fn check_files(&self) -> Result<(), String> {
        for file in self.needed_files() {
            // A manifest is foreign input: it names files in its own folder and no others.
            let inside = Path::new(file)
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            if file.is_empty() || !inside {
                return Err(format!("the file `{file}` leaves the model's folder"));
            }
            let hash = self.pinned_sha256(file);
            if hash.is_some_and(|hash| hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit())) {
                return Err(format!("`sha256` of `{file}` is not 64 hex digits"));
            }
        }
        for source in self.files.iter().filter_map(|listed| listed.source.as_ref()) {
            source.parse::<FileSource>()?;
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), String> {
        if let Some(text) = &self.text {
            if text.context < 2 || text.context > 4096 {
                return Err(format!("`text.context` is {}; 2 to 4096 is wanted", text.context));
            }
            if !text.logit_scale.is_finite() || text.logit_scale <= 0.0 {
                return Err("`text.logit_scale` must be above zero".into());
            }
            if !text.logit_bias.is_finite() {
                return Err("`text.logit_bias` must be a number".into());
            }
            if text.activation == Activation::None {
                return Err("`text.activation` is none; softmax or sigmoid is wanted".into());
            }
        }
        let floor = self.output.as_ref().map(|output| ("output.floor", output.floor));
        let thresholds = self
            .thresholds
            .iter()
            .map(|(category, &value)| (category.as_str(), value));
        for (key, value) in floor.into_iter().chain(thresholds) {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("`{key}` is {value}; 0 to 1 is wanted"));
            }
        }
        check_tables(&self.classify)
    }
}

/// Checks zero-shot tables, from a manifest or from a user's configuration. The message names the
/// table and what is wrong with it.
pub fn check_tables(tables: &[ClassifyTable]) -> Result<(), String> {
    for (index, table) in tables.iter().enumerate() {
        let name = &table.name;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
            return Err(format!(
                "`classify.name` is `{name}`; a column's name in lower case is wanted"
            ));
        }
        if tables[..index].iter().any(|earlier| earlier.name == *name) {
            return Err(format!("two `[[classify]]` tables are called `{name}`"));
        }
        if table.labels.len() < 2 {
            return Err(format!("the table `{name}` needs at least two labels to choose from"));
        }
        if let Some(label) = table.labels.iter().find(|label| label.prompts.is_empty()) {
            return Err(format!(
                "the label `{}` of the table `{name}` has no prompts",
                label.name
            ));
        }
        for (index, label) in table.labels.iter().enumerate() {
            if table.labels[..index].iter().any(|earlier| earlier.name == label.name) {
                return Err(format!("the table `{name}` has two labels called `{}`", label.name));
            }
        }
    }
    Ok(())
}
