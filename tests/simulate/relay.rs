//! The log relay's policy under a reader that stalls: what the processes write, the framer and the queue between,
//! and a reader that knows every line.

use super::invariants::Invariant;
use super::luck::Luck;
use php_init::config::plan::OnStall;
use php_init::logs::line::Framer;
use php_init::logs::loss::Lost;
use php_init::logs::queue::{Queue, SourceId};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

const CAP: usize = 600;
const RESERVE: usize = 100;
const LINE: usize = 64;
/// A header is never longer, so that no piece ends within one.
const HEADER: usize = 24;

type Broken = (Invariant, String);

/// What one process writes to its pipe.
struct Source {
    account: SourceId,
    framer: Framer,
    lines: u64,
    /// In the pipe.
    pipe: Vec<u8>,
    blocks: bool,
}

pub struct Relay {
    queue: Queue,
    sources: BTreeMap<u64, Source>,
    luck: Luck,
    pub stalled: bool,
    /// Given to the queue, separators included, and what has left it.
    given: u64,
    read: u64,
    lost: u64,
    /// The unfinished line that the reader has.
    tail: Vec<u8>,
    /// The last line of each process that the reader has seen.
    seen: BTreeMap<u64, u64>,
}

impl Relay {
    pub fn new(seed: u64) -> Self {
        Self {
            queue: Queue::new(CAP, RESERVE),
            sources: BTreeMap::new(),
            luck: Luck::of(seed, [7, 0, 0, 0]),
            stalled: false,
            given: 0,
            read: 0,
            lost: 0,
            tail: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    /// A process is there.
    pub fn open(&mut self, process: u64) {
        let blocks = self.luck.one_in(2);
        let (label, on_stall) = if blocks { ("blocks", OnStall::Block) } else { ("drops", OnStall::Drop) };
        let account = self.queue.open(label.to_owned(), on_stall);
        let source = Source { account, framer: Framer::new(LINE), lines: 0, pipe: Vec::new(), blocks };
        self.sources.insert(process, source);
    }

    /// Somebody writes, or the reader reads.
    pub fn stir(&mut self) -> Result<(), Broken> {
        let count = self.sources.len();
        if count > 0 && !self.luck.one_in(4) {
            let at = self.luck.index(count);
            if let Some(process) = self.sources.keys().nth(at).copied() {
                self.write(process)?;
            }
        }
        if !self.stalled && self.luck.one_in(2) {
            let most = self.luck.index(200);
            self.leave(most)?;
        }
        let bound = CAP + RESERVE + LINE + 2;
        if self.queue.len() > bound {
            return Err((Invariant::LogsBounded, format!("{} bytes wait", self.queue.len())));
        }
        Ok(())
    }

    fn write(&mut self, process: u64) -> Result<(), Broken> {
        let Some(source) = self.sources.get_mut(&process) else { return Ok(()) };
        if source.pipe.is_empty() {
            source.lines += 1;
            let _ = write!(source.pipe, "G{process}#{}", source.lines);
            let length = self.luck.pick(&[1, 9, 40, 63, 64, 65, 200]);
            source.pipe.resize(source.pipe.len() + length, letter(process));
            source.pipe.push(b'\n');
        }
        let n = (1 + self.luck.index(100)).min(source.pipe.len());
        if source.blocks && !self.queue.has_room(source.account, n) {
            return Ok(());
        }
        let bytes: Vec<u8> = source.pipe.drain(..n).collect();
        let mut input = bytes.as_slice();
        while let Some(piece) = source.framer.next(&mut input) {
            self.given += give(&mut self.queue, source.account, piece.split().0, b"\n");
        }
        if source.framer.held() > HEADER
            && self.luck.one_in(8)
            && let Some(piece) = source.framer.flush()
        {
            self.given += give(&mut self.queue, source.account, piece.bytes, b"");
        }
        self.count_losses()
    }

    /// The process has ended: what is in its pipe is read, whatever the room.
    pub fn close(&mut self, process: u64) -> Result<(), Broken> {
        let Some(mut source) = self.sources.remove(&process) else { return Ok(()) };
        let mut input = source.pipe.as_slice();
        // One that blocks is read on as room comes; here the reader makes it.
        if source.blocks {
            self.leave(usize::MAX)?;
        }
        while let Some(piece) = source.framer.next(&mut input) {
            self.given += give(&mut self.queue, source.account, piece.split().0, b"\n");
        }
        if let Some(piece) = source.framer.finish() {
            self.given += give(&mut self.queue, source.account, piece.bytes, b"\n");
        }
        self.queue.close(source.account);
        self.count_losses()
    }

    /// At the exit everything is drained.
    pub fn end(&mut self) -> Result<(), Broken> {
        while let Some(process) = self.sources.keys().next().copied() {
            self.close(process)?;
        }
        self.leave(usize::MAX)?;
        if self.given != self.read + self.lost {
            let text = format!("{} bytes given, {} read, {} lost", self.given, self.read, self.lost);
            return Err((Invariant::LinesCounted, text));
        }
        Ok(())
    }

    fn count_losses(&mut self) -> Result<(), Broken> {
        for (label, Lost { bytes, .. }) in self.queue.report_drops(usize::MAX, Duration::ZERO, true) {
            self.lost += bytes;
            if label == "blocks" {
                return Err((Invariant::LinesCounted, format!("a source that blocks lost {bytes} bytes")));
            }
        }
        Ok(())
    }

    fn leave(&mut self, most: usize) -> Result<(), Broken> {
        let n = most.min(self.queue.len());
        let mut left = n;
        for part in self.queue.front() {
            let part = &part[..left.min(part.len())];
            left -= part.len();
            for byte in part {
                if *byte == b'\n' {
                    whole(&self.tail, &mut self.seen)?;
                    self.tail.clear();
                } else {
                    self.tail.push(*byte);
                }
            }
        }
        self.queue.consume(n);
        self.read += n as u64;
        Ok(())
    }
}

/// The bytes that the queue has taken in or thrown away because of it.
fn give(queue: &mut Queue, account: SourceId, content: &[u8], end: &[u8]) -> u64 {
    let batch = [content, end];
    let mut given = content.len() + end.len();
    if queue.admit(account, batch) {
        given += queue.separator(account).len();
        queue.append(account, batch, 0);
    }
    given as u64
}

fn letter(process: u64) -> u8 {
    b'a' + u8::try_from(process % 26).unwrap_or(0)
}

/// A line is a header with the filling of its process, or a further piece of the filling of one.
fn whole(line: &[u8], seen: &mut BTreeMap<u64, u64>) -> Result<(), Broken> {
    let torn = || (Invariant::LinesWhole, format!("a line reads {:?}", String::from_utf8_lossy(line)));
    let head = line.iter().take_while(|byte| !byte.is_ascii_lowercase()).count();
    let (head, filling) = line.split_at(head);
    if filling.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(torn());
    }
    if head.is_empty() {
        return Ok(());
    }
    let numbers = std::str::from_utf8(head).ok().and_then(|head| head.strip_prefix('G')?.split_once('#'));
    let Some((process, number)) = numbers
        .and_then(|(process, number)| Some((process.parse::<u64>().ok()?, number.parse::<u64>().ok()?)))
    else {
        return Err(torn());
    };
    if filling.first().is_some_and(|first| *first != letter(process)) {
        return Err(torn());
    }
    if seen.insert(process, number).is_some_and(|last| last >= number) {
        return Err((Invariant::LinesWhole, format!("line {number} of process {process} comes again")));
    }
    Ok(())
}
