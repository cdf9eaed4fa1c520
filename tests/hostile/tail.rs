//! What the container writes: the last of it, and the secrets in it.

use crate::canary;
use std::collections::{BTreeSet, VecDeque};
use std::io::{PipeReader, Read as _};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Kept for whoever looks at a failure.
const KEPT: usize = 256 << 10;
/// Longer than a canary, which may be cut by the end of a read.
const OVERLAP: usize = 128;

#[derive(Clone, Default)]
pub struct Tail {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    canaries: Arc<Mutex<BTreeSet<String>>>,
}

impl Tail {
    /// Reads to the end, on a thread.
    pub fn read(&self, mut from: PipeReader) -> JoinHandle<()> {
        let tail = self.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            let mut last: Vec<u8> = Vec::new();
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                last.extend_from_slice(&buffer[..read]);
                tail.canaries.lock().unwrap().extend(canary::find(&last));
                last.drain(..last.len().saturating_sub(OVERLAP));
                let mut bytes = tail.bytes.lock().unwrap();
                bytes.extend(&buffer[..read]);
                let over = bytes.len().saturating_sub(KEPT);
                bytes.drain(..over);
            }
        })
    }

    pub fn canaries(&self) -> BTreeSet<String> {
        self.canaries.lock().unwrap().clone()
    }

    /// The last lines, without those of the tenants themselves.
    pub fn lines(&self, count: usize) -> String {
        let bytes: Vec<u8> = self.bytes.lock().unwrap().iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes).replace('\0', "");
        let others = |line: &&str| !line.starts_with("[tenant]") && !line.starts_with("[stranger]");
        // The first one is a piece.
        let lines: Vec<&str> = text.lines().skip(1).filter(others).collect();
        let last = &lines[lines.len().saturating_sub(count)..];
        last.iter().map(|line| line.chars().take(300).collect::<String>() + "\n").collect()
    }
}
