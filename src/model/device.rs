//! Where a graph runs: what a user may ask for, and what was chosen.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A device as a user names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The first CUDA device where one can be had, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(u32),
    /// The CUDA device of this number, through TensorRT.
    TensorRt(u32),
}

/// A name that is no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown device `{0}`: say auto, cpu, cuda:0 or tensorrt:0")]
pub struct UnknownDevice(pub String);

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownDevice(text.to_owned());
        let (kind, number) = match text.split_once(':') {
            Some((kind, number)) => (kind, Some(number.parse::<u32>().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (kind, number) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", number) => Ok(Self::Cuda(number.unwrap_or(0))),
            ("tensorrt", number) => Ok(Self::TensorRt(number.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::TensorRt(number) => write!(f, "tensorrt:{number}"),
        }
    }
}

/// What a user asks for: one device, or several that share the work. In a configuration a text or
/// a list of texts, on a command line with commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList(Vec<Device>);

/// A list that is no choice of devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDeviceList {
    /// One of them is unknown.
    #[error(transparent)]
    Unknown(#[from] UnknownDevice),
    /// None is named.
    #[error("no device is named: say auto, cpu, cuda:0, tensorrt:0 or several with commas")]
    Empty,
    /// Others are named beside `auto`.
    #[error("`auto` stands alone: name every device, or none")]
    AutoAmongOthers,
}

impl DeviceList {
    /// Checks a list.
    ///
    /// # Errors
    /// It is empty, or `auto` is not alone in it.
    pub fn new(devices: Vec<Device>) -> Result<Self, BadDeviceList> {
        if devices.is_empty() {
            return Err(BadDeviceList::Empty);
        }
        if devices.len() > 1 && devices.contains(&Device::Auto) {
            return Err(BadDeviceList::AutoAmongOthers);
        }
        Ok(Self(devices))
    }

    /// The devices, at least one.
    pub fn devices(&self) -> &[Device] {
        &self.0
    }
}

impl Default for DeviceList {
    fn default() -> Self {
        Self(vec![Device::Auto])
    }
}

impl FromStr for DeviceList {
    type Err = BadDeviceList;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Self::new(named.map(str::parse).collect::<Result<_, _>>()?)
    }
}

impl fmt::Display for DeviceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(Device::to_string).collect();
        f.write_str(&names.join(","))
    }
}

impl Serialize for DeviceList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => serializer.collect_str(only),
            several => serializer.collect_seq(several.iter().map(Device::to_string)),
        }
    }
}

impl<'de> Deserialize<'de> for DeviceList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a device such as \"cuda:0\", or a list of them")]
        enum OneOrSeveral {
            One(String),
            Several(Vec<String>),
        }
        let text = match OneOrSeveral::deserialize(deserializer)? {
            OneOrSeveral::One(text) => text,
            OneOrSeveral::Several(texts) => texts.join(","),
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The device that will be used, and why it is this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenDevice {
    /// Never `Auto`.
    pub device: Device,
    /// Why, in words a person reads.
    pub reason: String,
}

impl fmt::Display for ChosenDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.device, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "tensorrt:1"] {
            assert_eq!(name.parse::<Device>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for name in ["", "gpu", "cuda:", "cuda:x", "cpu:0", "auto:1", "cuda:-1"] {
            let error = name.parse::<Device>().unwrap_err();
            assert!(error.to_string().contains("cuda:0"), "{error}");
        }
    }

    #[test]
    fn one_device_or_several_are_read_and_written() {
        let list: DeviceList = "cuda:0, cuda:1".parse().unwrap();
        assert_eq!(list.devices(), [Device::Cuda(0), Device::Cuda(1)]);
        let read = |text: &str| serde_json::from_str::<DeviceList>(text).map_err(|error| error.to_string());
        assert_eq!(read(r#"["cuda:0", "cuda:1"]"#), Ok(list.clone()));
        assert_eq!(serde_json::to_string(&list).unwrap(), r#"["cuda:0","cuda:1"]"#);
        assert_eq!(read(r#""cpu""#).unwrap().to_string(), "cpu");
        assert_eq!(serde_json::to_string(&DeviceList::default()).unwrap(), r#""auto""#);
        for (text, says) in [
            ("[]", "no device"),
            (r#""cpu,auto""#, "stands alone"),
            (r#""gpu""#, "unknown device `gpu`"),
            ("3", "or a list"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{error} should say {says}");
        }
    }
}
