//! Names of the EXIF tags that hold text, and which undefined values can be text.

use std::borrow::Cow;

/// The usual name of a tag, or `0x` and four hexadecimal digits.
pub(super) fn name(tag: u16) -> Cow<'static, str> {
    let name = match tag {
        0x010d => "DocumentName",
        0x010e => "ImageDescription",
        0x010f => "Make",
        0x0110 => "Model",
        0x011d => "PageName",
        0x0131 => "Software",
        0x0132 => "DateTime",
        0x013b => "Artist",
        0x013c => "HostComputer",
        0x0151 => "TargetPrinter",
        0x02bc => "XMLPacket",
        0x8298 => "Copyright",
        0x83bb => "IPTC",
        0x8649 => "ImageResources",
        0x8824 => "SpectralSensitivity",
        0x9003 => "DateTimeOriginal",
        0x9004 => "DateTimeDigitized",
        0x9010 => "OffsetTime",
        0x9011 => "OffsetTimeOriginal",
        0x9012 => "OffsetTimeDigitized",
        0x927c => "MakerNote",
        0x9286 => "UserComment",
        0x9290 => "SubSecTime",
        0x9291 => "SubSecTimeOriginal",
        0x9292 => "SubSecTimeDigitized",
        0x9c9b => "XPTitle",
        0x9c9c => "XPComment",
        0x9c9d => "XPAuthor",
        0x9c9e => "XPKeywords",
        0x9c9f => "XPSubject",
        0xa004 => "RelatedSoundFile",
        0xa40b => "DeviceSettingDescription",
        0xa420 => "ImageUniqueID",
        0xa430 => "CameraOwnerName",
        0xa431 => "BodySerialNumber",
        0xa433 => "LensMake",
        0xa434 => "LensModel",
        0xa435 => "LensSerialNumber",
        0xa436 => "ImageTitle",
        0xa437 => "Photographer",
        0xa438 => "ImageEditor",
        0xa439 => "CameraFirmware",
        0xa43a => "RAWDevelopingSoftware",
        0xa43b => "ImageEditingSoftware",
        0xa43c => "MetadataEditingSoftware",
        0xc614 => "UniqueCameraModel",
        _ => return Cow::Owned(format!("0x{tag:04X}")),
    };
    Cow::Borrowed(name)
}

/// Whether a field of this tag and type can be text: every ASCII field, and bytes of undeclared
/// kind unless the tag is known to hold something else (versions, tables, thumbnails, previews).
pub(super) fn can_be_text(tag: u16, kind: u16) -> bool {
    match kind {
        2 | 129 => true,
        1 | 7 => !matches!(
            tag,
            0x00fe..=0x0103
                | 0x0111
                | 0x0117
                | 0x015b
                | 0x0201..=0x0214
                | 0x828d..=0x828e
                | 0x8773
                | 0x8828
                | 0x9000
                | 0x9101
                | 0xa000
                | 0xa300..=0xa302
                | 0xa40c
                | 0xc4a5
                | 0xc612..=0xc613
                | 0xc634
                | 0xea1c
        ),
        _ => false,
    }
}
