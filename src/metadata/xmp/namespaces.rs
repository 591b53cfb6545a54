//! The namespaces of XMP by their URIs: a writer may choose any prefix, the URI says which it is.

use quick_xml::name::{QName, ResolveResult};

use super::Role;

/// Longest part of a name that is kept, in bytes: names are joined to paths again and again.
const MAX_NAME_BYTES: usize = 128;

/// A namespace as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Namespace {
    /// RDF itself: descriptions, lists, items.
    Rdf,
    /// Attributes of XML (`xml:lang`).
    Xml,
    /// The wrapper round a packet (`x:xmpmeta`).
    Frame,
    /// Properties, under the prefix that they usually have.
    Properties(String),
}

impl Namespace {
    /// The namespace that a name was resolved to; without a declaration, by the prefix itself.
    pub fn of(resolved: &ResolveResult, name: QName) -> Self {
        let own_prefix = name.prefix().map_or("", |prefix| prefix.into_inner());
        match resolved {
            ResolveResult::Bound(uri) => Self::by_uri(uri.as_ref(), own_prefix),
            ResolveResult::Unbound | ResolveResult::Unknown(_) => match own_prefix {
                "rdf" => Self::Rdf,
                "xml" => Self::Xml,
                "x" => Self::Frame,
                prefix => Self::Properties(prefix.to_owned()),
            },
        }
    }

    fn by_uri(uri: &str, own_prefix: &str) -> Self {
        let prefix = match uri {
            "http://www.w3.org/1999/02/22-rdf-syntax-ns#" => return Self::Rdf,
            "http://www.w3.org/XML/1998/namespace" => return Self::Xml,
            "adobe:ns:meta/" => return Self::Frame,
            "http://purl.org/dc/elements/1.1/" => "dc",
            "http://ns.adobe.com/xap/1.0/" => "xmp",
            "http://ns.adobe.com/xap/1.0/mm/" => "xmpMM",
            "http://ns.adobe.com/xap/1.0/rights/" => "xmpRights",
            "http://ns.adobe.com/xap/1.0/bj/" => "xmpBJ",
            "http://ns.adobe.com/xmp/note/" => "xmpNote",
            "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" => "stEvt",
            "http://ns.adobe.com/xap/1.0/sType/ResourceRef#" => "stRef",
            "http://ns.adobe.com/xmp/1.0/DynamicMedia/" => "xmpDM",
            "http://ns.adobe.com/exif/1.0/" => "exif",
            "http://ns.adobe.com/exif/1.0/aux/" => "aux",
            "http://cipa.jp/exif/1.0/" => "exifEX",
            "http://ns.adobe.com/tiff/1.0/" => "tiff",
            "http://ns.adobe.com/photoshop/1.0/" => "photoshop",
            "http://ns.adobe.com/camera-raw-settings/1.0/" => "crs",
            "http://ns.adobe.com/lightroom/1.0/" => "lr",
            "http://ns.adobe.com/pdf/1.3/" => "pdf",
            "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/" => "Iptc4xmpCore",
            "http://iptc.org/std/Iptc4xmpExt/2008-02-29/" => "Iptc4xmpExt",
            "http://ns.useplus.org/ldf/xmp/1.0/" => "plus",
            "http://www.metadataworkinggroup.com/schemas/regions/" => "mwg-rs",
            "http://ns.microsoft.com/photo/1.0" | "http://ns.microsoft.com/photo/1.0/" => "MicrosoftPhoto",
            "http://www.digikam.org/ns/1.0/" => "digiKam",
            "http://ns.google.com/photos/1.0/image/" => "GImage",
            "http://ns.google.com/photos/1.0/creations/" => "GCreations",
            "http://ns.google.com/photos/1.0/camera/" => "GCamera",
            "http://www.gimp.org/xmp/" => "GIMP",
            _ if uri.to_ascii_lowercase().contains("tc260.org.cn") => "TC260",
            _ if uri
                .to_ascii_lowercase()
                .trim_end_matches('/')
                .ends_with("comfy-org/comfyui") =>
            {
                "comfy"
            }
            _ if own_prefix.is_empty() => uri,
            _ => own_prefix,
        };
        Self::Properties(prefix.to_owned())
    }

    /// What an element of this namespace is, and its canonical name.
    pub fn role_and_name(&self, local: &str) -> (Role, String) {
        match (self, local) {
            (Self::Rdf, "Alt") => (Role::Alternatives, String::new()),
            (Self::Rdf, "Seq" | "Bag") => (Role::List, String::new()),
            (Self::Rdf, "li") => (Role::Item, String::new()),
            (Self::Rdf, "value") => (Role::Property, "rdf:value".to_owned()),
            (Self::Rdf | Self::Xml | Self::Frame, _) => (Role::Frame, String::new()),
            (Self::Properties(prefix), local) => {
                let (prefix, local) = (short(prefix), short(local));
                let name = if prefix.is_empty() {
                    local.to_owned()
                } else {
                    format!("{prefix}:{local}")
                };
                (Role::Property, name)
            }
        }
    }
}

fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME_BYTES)]
}
