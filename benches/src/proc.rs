//! What Linux knows of a process: CPU time, waiting, memory.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

/// What the threads of a process got of the processors until now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// Time on a core, user and kernel.
    pub(crate) used: Duration,
    /// Time ready to run while others had the cores.
    pub(crate) waited: Duration,
    /// How often a thread got a core.
    pub(crate) turns: u64,
}

impl Cpu {
    /// Reads all threads of a process. Threads that have ended do not count: measure a process whose threads stay.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let tasks = format!("/proc/{pid}/task");
        let mut sum = Self::default();
        for task in fs::read_dir(&tasks).with_context(|| format!("no process {pid}"))? {
            // A thread may end while the list is read.
            if let Ok(one) = Self::read(&task?.path().join("schedstat")) {
                sum.used += one.used;
                sum.waited += one.waited;
                sum.turns += one.turns;
            }
        }
        Ok(sum)
    }

    /// Reads the calling thread.
    pub(crate) fn of_this_thread() -> Result<Self> {
        // The kernel counts at its ticks, some milliseconds apart, and when a thread goes to sleep.
        std::thread::sleep(Duration::from_micros(1));
        Self::read(Path::new("/proc/thread-self/schedstat"))
    }

    /// What came since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            used: self.used.saturating_sub(before.used),
            waited: self.waited.saturating_sub(before.waited),
            turns: self.turns.saturating_sub(before.turns),
        }
    }

    /// How long a thread waited for a core each time that it wanted one, on average.
    pub(crate) fn wait_each(self) -> Duration {
        Duration::from_nanos(
            u64::try_from(self.waited.as_nanos()).unwrap_or(u64::MAX) / self.turns.max(1),
        )
    }

    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut fields = text.split_whitespace().map(str::parse);
        let mut next = || {
            fields
                .next()
                .and_then(Result::ok)
                .with_context(|| format!("{}: {text:?}", path.display()))
        };
        Ok(Self {
            used: Duration::from_nanos(next()?),
            waited: Duration::from_nanos(next()?),
            turns: next()?,
        })
    }
}

/// What all cores together did until now, all processes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Machine {
    busy: f64,
    all: f64,
}

impl Machine {
    /// Reads `/proc/stat`.
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        // user, nice, system, idle, iowait, irq, softirq, steal.
        let ticks: Vec<f64> = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        let all = ticks.iter().sum();
        let idle: f64 = ticks.get(3..5).unwrap_or_default().iter().sum();
        Ok(Self {
            busy: all - idle,
            all,
        })
    }

    /// How many cores were busy on average since `before`, ours included.
    pub(crate) fn cores_since(self, before: Self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
        let all = self.all - before.all;
        if all > 0.0 {
            (self.busy - before.busy) / all * cores
        } else {
            0.0
        }
    }
}

/// Bytes of memory that a process has resident.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("no process {pid}"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .with_context(|| format!("{path} has no VmRSS"))?;
    Ok(kib * 1024)
}

/// The average number of tasks that ran or wanted to, over the last minute.
pub(crate) fn load() -> f64 {
    fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_at_work_uses_cpu_time() {
        let before = Cpu::of_this_thread().unwrap();
        let began = std::time::Instant::now();
        let mut sum = 0u64;
        while began.elapsed() < Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }

        let cpu = Cpu::of_this_thread().unwrap().since(before);

        assert!(cpu.used > Duration::ZERO && cpu.used <= began.elapsed() + cpu.waited);
    }

    #[test]
    fn the_machine_is_busy_while_a_thread_is() {
        let before = Machine::now().unwrap();
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(60) {
            std::hint::spin_loop();
        }

        let cores = Machine::now().unwrap().cores_since(before);

        assert!(cores > 0.1, "{cores}");
        assert!(cores <= std::thread::available_parallelism().unwrap().get() as f64);
    }

    #[test]
    fn this_process_has_memory_and_threads() {
        let pid = std::process::id();

        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(Cpu::of(pid).unwrap().turns > 0);
        assert!(resident_bytes(u32::MAX).is_err());
    }
}
