//! XMP: every property of a packet as one text, under the prefix that its namespace usually has.
//! Structures and lists are flattened. Nothing is expanded but the five entities of XML and
//! character references; a document type is stepped over.

mod namespaces;

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{QName, ResolveResult};
use quick_xml::reader::NsReader;

use super::budget::Collector;
use super::text;
use namespaces::Namespace;

/// Elements inside elements; real packets have about ten.
const MAX_DEPTH: usize = 64;

/// Items of one list; keywords rarely pass a hundred.
const MAX_ITEMS: usize = 4096;

/// Longest name of an entity or number of a character reference, in bytes.
const MAX_REFERENCE_BYTES: usize = 12;

/// The XMP packet of a JPEG APP1 segment, without the header that says so.
pub(super) fn strip_app1_header(segment: &[u8]) -> Option<&[u8]> {
    segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0")
}

/// Reads one packet: its properties become entries, keywords and rating facts. Gives the GUID of
/// the extended XMP that belongs to it, where it names one.
pub(super) fn read(packet: &[u8], collector: &mut Collector) -> Option<String> {
    let limit = collector.options().max_xmp_bytes.min(collector.text_budget());
    let is_cut = packet.len() > limit;
    if is_cut {
        collector.note(format!("xmp: cut from {} to {limit} bytes", packet.len()));
    }
    let packet = &packet[..packet.len().min(limit)];
    collector.charge(packet.len());
    let document = text::any(packet).text;
    let mut walk = Walk {
        collector,
        open: Vec::new(),
        extended: None,
    };
    if let Err(problem) = walk.run(&document) {
        walk.close_all();
        walk.collector
            .note(format!("xmp: {problem}; what came before was kept"));
    }
    walk.extended
}

/// What an element means for the properties round it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Wrappers and `rdf:Description`: they name nothing.
    Frame,
    /// A property or a field of a structure.
    Property,
    /// `rdf:Alt`: one value in several languages.
    Alternatives,
    /// `rdf:Seq` and `rdf:Bag`.
    List,
    /// `rdf:li`.
    Item,
}

/// An element that was opened and not closed.
struct Element {
    role: Role,
    /// Canonical name of a property.
    name: String,
    /// Character data so far.
    text: String,
    /// Whether elements with values stand inside, so that white space between them means nothing.
    has_children: bool,
    /// Values of a list's items, in order.
    items: Vec<String>,
    /// `xml:lang` of an item is `x-default`.
    is_default_language: bool,
}

/// The state of reading one packet.
struct Walk<'c, 'o> {
    collector: &'c mut Collector<'o>,
    open: Vec<Element>,
    extended: Option<String>,
}

impl Walk<'_, '_> {
    fn run(&mut self, document: &str) -> Result<(), String> {
        let mut reader = NsReader::from_str(document);
        let config = reader.config_mut();
        config.allow_dangling_amp = true;
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) => self.start(&start, &reader)?,
                Event::Empty(start) => {
                    self.start(&start, &reader)?;
                    self.close();
                }
                Event::End(_) => self.close(),
                Event::Text(text) => self.text(&text.into_inner()),
                Event::CData(text) => self.text(&text.into_inner()),
                Event::GeneralRef(reference) => {
                    let name = reference.into_inner();
                    self.text(&resolved(&name).map_or_else(|| format!("&{name};"), String::from));
                }
                Event::DocType(_) => self.collector.note_once("xmp: the document type was ignored"),
                Event::Eof if self.open.is_empty() => return Ok(()),
                Event::Eof => return Err("the packet ends early".to_owned()),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    fn start(&mut self, start: &BytesStart, reader: &NsReader<&[u8]>) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} elements inside each other"));
        }
        let (namespace, local) = reader.resolver().resolve_element(start.name());
        let namespace = Namespace::of(&namespace, start.name());
        let (role, name) = namespace.role_and_name(local.as_ref());
        if let Some(outer) = self.open.last_mut() {
            outer.has_children = true;
        }
        self.open.push(Element {
            role,
            name,
            text: String::new(),
            has_children: false,
            items: Vec::new(),
            is_default_language: false,
        });
        for attribute in start.attributes().with_checks(false).flatten() {
            self.attribute(attribute.key, &unescaped(&attribute.value), reader);
        }
        Ok(())
    }

    /// An attribute is a property in short form, unless XML or RDF mean something by it.
    fn attribute(&mut self, key: QName, value: &str, reader: &NsReader<&[u8]>) {
        let name: &str = key.as_ref();
        if name.starts_with("xmlns") {
            return;
        }
        let (namespace, local) = reader.resolver().resolve_attribute(key);
        let is_bound = matches!(namespace, ResolveResult::Bound(_) | ResolveResult::Unknown(_));
        let namespace = Namespace::of(&namespace, key);
        let Some(element) = self.open.last_mut() else { return };
        match (namespace, local.as_ref()) {
            (Namespace::Rdf, "resource") => value.clone_into(&mut element.text),
            (Namespace::Xml, "lang") => element.is_default_language = value == "x-default",
            (Namespace::Rdf | Namespace::Xml | Namespace::Frame, _) => {}
            (namespace, local) if is_bound => {
                let (_, name) = namespace.role_and_name(local);
                element.has_children = true;
                self.property(Some(&name), value.to_owned());
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(element) = self.open.last_mut() {
            element.text.push_str(text);
        }
    }

    /// Ends the innermost element: its value goes to the list it stands in, or becomes an entry.
    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        let value = match element.role {
            Role::Frame => return,
            Role::Alternatives => element.items.first().cloned().unwrap_or_default(),
            Role::List => element.items.join("\n"),
            // White space between inner elements is no value.
            Role::Property | Role::Item if element.has_children => element.text.trim().to_owned(),
            Role::Property | Role::Item => element.text,
        };
        if value.trim().is_empty() {
            return;
        }
        match (element.role, self.open.last_mut()) {
            (Role::Item, Some(list)) if list.items.len() < MAX_ITEMS => {
                // The default language stands first, whatever the order in the file.
                let is_first = element.is_default_language && list.role == Role::Alternatives;
                list.items.insert(if is_first { 0 } else { list.items.len() }, value);
            }
            (Role::Item, _) => {}
            (Role::List, _) => {
                self.keywords(&element.items);
                self.property(None, value);
            }
            (Role::Property, _) => self.property(Some(&element.name), value),
            _ => self.property(None, value),
        }
    }

    fn close_all(&mut self) {
        while !self.open.is_empty() {
            self.close();
        }
    }

    /// The names of the open properties, and one more, with `/` between.
    fn path(&self, last: Option<&str>) -> String {
        let open = self
            .open
            .iter()
            .filter(|element| element.role == Role::Property)
            .map(|element| &*element.name);
        open.chain(last).collect::<Vec<_>>().join("/")
    }

    fn keywords(&mut self, items: &[String]) {
        let is_subject = self.open.last().is_some_and(|element| element.name == "dc:subject");
        for item in items.iter().filter(|_| is_subject) {
            self.collector.keyword(item);
        }
    }

    /// Keeps the value of the open properties, or of one more inside them.
    fn property(&mut self, last: Option<&str>, value: String) {
        if value.trim().is_empty() || self.collector.is_full() {
            return;
        }
        let path = self.path(last);
        match &*path {
            "" => return,
            "xmpNote:HasExtendedXMP" => self.extended = Some(value.trim().to_owned()),
            "xmp:Rating" => {
                let rating = value
                    .trim()
                    .parse::<f64>()
                    .ok()
                    .filter(|rating| (-1.0..=5.0).contains(rating));
                let facts = self.collector.facts();
                facts.rating = rating.map(|rating| rating as i32).or(facts.rating);
            }
            _ => {}
        }
        self.collector.entry("xmp", path, value);
    }
}

/// An attribute's value with the entities of XML replaced; one with others stays as it is.
fn unescaped(raw: &str) -> String {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('&') {
        value.push_str(before);
        let end = after.bytes().take(MAX_REFERENCE_BYTES).position(|byte| byte == b';');
        let reference = end.and_then(|end| Some((resolved(&after[..end])?, &after[end + 1..])));
        let (character, tail) = reference.unwrap_or(('&', after));
        value.push(character);
        rest = tail;
    }
    value.push_str(rest);
    value
}

/// The character that a reference stands for: the five names that XML has, and numbers.
fn resolved(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            code.ok().and_then(char::from_u32)
        }
    }
}

#[cfg(test)]
mod tests;
