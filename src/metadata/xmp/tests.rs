//! XMP in all its spellings, and packets made to do harm.

use crate::metadata::container::testing::{entries, xmp_packet};
use crate::metadata::{ReadOptions, budget::Collector};
use crate::record::RawMetadata;

fn read_packet(packet: &str) -> RawMetadata {
    read_packet_bytes(packet.as_bytes())
}

fn read_packet_bytes(packet: &[u8]) -> RawMetadata {
    let options = ReadOptions::default();
    let mut collector = Collector::new(&options);
    super::read(packet, &mut collector);
    collector.finish()
}

#[test]
fn attribute_and_element_form_are_the_same() {
    let attribute = xmp_packet(
        "xmlns:comfy=\"https://github.com/Comfy-Org/ComfyUI\" comfy:prompt=\"{&quot;a&quot;: 1}\"",
        "",
    );
    let element = xmp_packet(
        "",
        "<c:prompt xmlns:c=\"https://github.com/Comfy-Org/ComfyUI\">{\"a\": 1}</c:prompt>",
    );
    let cdata = xmp_packet(
        "",
        "<c:prompt xmlns:c=\"https://github.com/Comfy-Org/ComfyUI\"><![CDATA[{\"a\": 1}]]></c:prompt>",
    );
    for packet in [attribute, element, cdata] {
        let raw = read_packet(&packet);
        assert_eq!(entries(&raw), [("xmp", "comfy:prompt", "{\"a\": 1}")]);
        assert!(raw.notes.is_empty(), "{:?}", raw.notes);
    }
}

#[test]
fn prefixes_are_those_of_the_namespace() {
    let raw = read_packet(&xmp_packet(
        "xmlns:iptcExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\" xmlns:mine=\"urn:mine\" \
         xmlns:a=\"http://www.tc260.org.cn/ns/AIGC/1.0/\"",
        "<iptcExt:DigitalSourceType>x</iptcExt:DigitalSourceType><mine:y>z</mine:y><a:AIGC>{}</a:AIGC>",
    ));
    let expected = [
        ("xmp", "Iptc4xmpExt:DigitalSourceType", "x"),
        ("xmp", "mine:y", "z"),
        ("xmp", "TC260:AIGC", "{}"),
    ];
    assert_eq!(entries(&raw), expected);
}

#[test]
fn lists_languages_and_structures() {
    let raw = read_packet(&xmp_packet(
        "xmlns:xmpMM=\"http://ns.adobe.com/xap/1.0/mm/\" xmlns:stRef=\"http://ns.adobe.com/xap/1.0/sType/ResourceRef#\" \
         xmp:Rating=\"-1\"",
        "<dc:subject><rdf:Bag><rdf:li>cat</rdf:li><rdf:li> dog </rdf:li><rdf:li>cat</rdf:li></rdf:Bag></dc:subject>\
         <dc:description>\n <rdf:Alt>\n  <rdf:li xml:lang=\"de\">Katze</rdf:li>\n  <rdf:li xml:lang=\"x-default\">a cat</rdf:li>\n </rdf:Alt>\n</dc:description>\
         <xmpMM:DerivedFrom rdf:parseType=\"Resource\"><stRef:documentID>one</stRef:documentID></xmpMM:DerivedFrom>\
         <xmpMM:Ingredients><rdf:Bag><rdf:li stRef:documentID=\"two\"/></rdf:Bag></xmpMM:Ingredients>\
         <xmp:Link rdf:resource=\"http://example.org/\"/>",
    ));
    let expected = [
        ("xmp", "xmp:Rating", "-1"),
        ("xmp", "dc:subject", "cat\n dog \ncat"),
        ("xmp", "dc:description", "a cat"),
        ("xmp", "xmpMM:DerivedFrom/stRef:documentID", "one"),
        ("xmp", "xmpMM:Ingredients/stRef:documentID", "two"),
        ("xmp", "xmp:Link", "http://example.org/"),
    ];
    assert_eq!(entries(&raw), expected);
    assert_eq!(
        (raw.facts.rating, raw.facts.keywords),
        (Some(-1), vec!["cat".to_owned(), "dog".to_owned()])
    );
}

#[test]
fn text_is_verbatim_with_the_entities_of_xml_only() {
    let raw = read_packet(&xmp_packet(
        "xmp:Label=\"a&#10;b &amp;lt; &nbsp; &\"",
        "<dc:source> a &lt;lora:x:1&gt; &#x732b;&#29483;\n&amp;amp; &unknown; R&D </dc:source>",
    ));
    assert_eq!(entries(&raw)[0].2, "a\nb &lt; &nbsp; &");
    assert_eq!(entries(&raw)[1].2, " a <lora:x:1> 猫猫\n&amp; &unknown; R&D ");
}

#[test]
fn an_entity_bomb_expands_to_nothing() {
    let level = |level| format!("<!ENTITY a{level} \"&a{0};&a{0};\">", level - 1);
    let levels: Vec<String> = (1..30).map(level).collect();
    let mut packet = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a0 \"boom\">{}]>",
        levels.concat()
    );
    packet.push_str(
        &xmp_packet("xmp:Label=\"&a29;\"", "<dc:source>&a29;</dc:source>")
            .replace("<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>", ""),
    );
    let raw = read_packet(&packet);
    assert_eq!(
        entries(&raw),
        [("xmp", "xmp:Label", "&a29;"), ("xmp", "dc:source", "&a29;")]
    );
    assert!(raw.notes[0].contains("document type"), "{:?}", raw.notes);
}

#[test]
fn other_encodings_of_xml() {
    let packet = xmp_packet("xmp:Label=\"猫\"", "");
    let big: Vec<u8> = packet.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let little: Vec<u8> = packet.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [big, little] {
        assert_eq!(entries(&read_packet_bytes(&bytes)), [("xmp", "xmp:Label", "猫")]);
    }
}

#[test]
fn a_broken_packet_gives_what_came_before() {
    let packet = xmp_packet(
        "xmp:Label=\"x\"",
        "<dc:source>a cat</dc:source><dc:relation>a dog</dc:relation>",
    );
    for end in 0..packet.len() - 20 {
        let Some(cut) = packet.get(..end) else { continue };
        let raw = read_packet(cut);
        let has_source = end >= packet.find("</dc:source>").unwrap();
        assert!(
            !has_source || entries(&raw).contains(&("xmp", "dc:source", "a cat")),
            "{end}"
        );
    }
    let raw = read_packet(&packet.replace("</dc:source>", "</dc:sourc>"));
    assert!(entries(&raw).contains(&("xmp", "dc:relation", "a dog")));
    assert!(read_packet("no XML at all").entries.is_empty());
    assert!(read_packet("").entries.is_empty());
}

#[test]
fn depth_lists_and_names_are_bounded() {
    let deep = format!("{}x{}", "<a:b xmlns:a=\"u\">".repeat(10_000), "</a:b>".repeat(10_000));
    assert!(read_packet(&deep).notes[0].contains("inside each other"));
    let items = "<rdf:li xml:lang=\"x-default\">x</rdf:li>".repeat(100_000);
    let raw = read_packet(&xmp_packet(
        "",
        &format!("<dc:title><rdf:Alt>{items}</rdf:Alt></dc:title>"),
    ));
    assert_eq!(entries(&raw), [("xmp", "dc:title", "x")]);
    let name = "n".repeat(1 << 20);
    let raw = read_packet(&xmp_packet("", &format!("<dc:{name}>x</dc:{name}>")));
    assert!(raw.entries[0].key.len() < 200);
    let ampersands = xmp_packet(&format!("xmp:Label=\"{}\"", "&".repeat(1 << 20)), &"&".repeat(1 << 20));
    assert_eq!(read_packet(&ampersands).entries[0].text.len(), 1 << 20);
}

#[test]
fn many_values_under_long_names_take_no_time() {
    let name = "n".repeat(200);
    let open = format!("<dc:{name}>").repeat(50);
    let raw = read_packet(&xmp_packet("", &format!("{open}{}", "<dc:a>x</dc:a>".repeat(500_000))));
    assert!(raw.entries.len() <= 4096);
    assert!(
        raw.notes.iter().any(|note| note.contains("more than 4096 texts")),
        "{:?}",
        raw.notes
    );
}
