//! How much memory a device has left, as far as the system tells.

use std::path::Path;
use std::process::{Command, Stdio};

use super::device::Device;

/// Bytes that the device could still give; none where nothing tells.
pub fn free_bytes(device: Device) -> Option<u64> {
    match device {
        Device::Cpu | Device::Auto => of_host(Path::new("/")),
        Device::Cuda(number) | Device::TensorRt(number) => of_card(number),
    }
}

/// What the kernel calls available, or what the control group leaves, whichever is less.
fn of_host(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let available = kibibytes << 10;
    Some(of_group(root).map_or(available, |left| left.min(available)))
}

/// What the control group that this process sees leaves; none without a limit. File pages that
/// nobody used lately count as free, as the kernel takes them first.
fn of_group(root: &Path) -> Option<u64> {
    let group = root.join("sys/fs/cgroup");
    let number = |name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(group.join(name)).ok()?;
        text.trim().parse().ok()
    };
    let (limit, used) = (number("memory.max")?, number("memory.current")?);
    let stat = std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let pages = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let pages: u64 = pages.and_then(|pages| pages.trim().parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(pages)))
}

/// What NVIDIA's own tool says of the card that CUDA knows by this number.
fn of_card(number: u32) -> Option<u64> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let told = Command::new("nvidia-smi")
        .args(["--query-gpu=memory.free", "--format=csv,noheader,nounits"])
        .arg(format!("--id={}", card_id(number, visible.as_deref())))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let mebibytes: u64 = std::str::from_utf8(&told.stdout).ok()?.trim().parse().ok()?;
    told.status.success().then_some(mebibytes << 20)
}

/// The card's name for the tool: CUDA counts the cards that it is shown, the tool counts all.
fn card_id(number: u32, visible: Option<&str>) -> String {
    let shown = visible.and_then(|visible| visible.split(',').nth(number as usize));
    shown
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .map_or_else(|| number.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_what_the_kernel_and_the_control_group_leave() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(of_host(root.path()), None);
        put(
            "proc/meminfo",
            "MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:    4000 kB\n",
        );
        assert_eq!(of_host(root.path()), Some(4000 << 10));
        put("sys/fs/cgroup/memory.max", "max\n");
        put("sys/fs/cgroup/memory.current", "3000000\n");
        assert_eq!(of_host(root.path()), Some(4000 << 10), "no limit");
        put("sys/fs/cgroup/memory.max", "3500000\n");
        put("sys/fs/cgroup/memory.stat", "anon 5\ninactive_file 1000000\n");
        assert_eq!(of_host(root.path()), Some(1_500_000));
    }

    #[test]
    fn cards_are_asked_for_by_the_name_that_cuda_was_shown() {
        assert_eq!(card_id(1, None), "1");
        assert_eq!(card_id(1, Some("3,5")), "5");
        assert_eq!(card_id(0, Some("GPU-8f2a, 5")), "GPU-8f2a");
        assert_eq!(card_id(0, Some("")), "0");
    }

    #[test]
    fn this_machine_tells() {
        assert!(free_bytes(Device::Cpu).is_none_or(|bytes| bytes > 0));
    }
}
