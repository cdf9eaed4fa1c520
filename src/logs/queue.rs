//! What the container's stdout or stderr does not take yet: whole lines, in order, bounded.
//!
//! Every source (one pipe of one child) has an account. While the reader stalls, a source may queue as much as is
//! still free after it (the dynamic threshold of shared-memory switches): a lone noisy service gets half of the
//! queue, n of them get 1/(n+1) each, and there is always room for the first line of a quiet one. A source that
//! may drop loses its own oldest lines first, since the newest are the ones that explain a crash. init's own lines
//! have a reserve that no service can use.
//!
//! The queue also knows whether the log stands in the middle of a line, so that a line that has begun to leave is
//! never torn, and another source's unfinished line is closed before the next one.

use super::loss::{Lost, Unreported};
use crate::config::plan::OnStall;
use std::collections::VecDeque;
use std::time::Duration;

/// The buffer is given back when it is empty and larger than this, in bytes.
const KEEP_CAPACITY: usize = 32 << 10;

/// One account of a [`Queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(usize);

/// The account of init's own lines.
pub const OWN: SourceId = SourceId(0);

#[derive(Debug)]
struct Account {
    label: String,
    on_stall: OnStall,
    live: bool,
    queued: usize,
    dropped: Unreported,
}

impl Account {
    fn new(label: String, on_stall: OnStall) -> Self {
        Self { label, on_stall, live: true, queued: 0, dropped: Unreported::default() }
    }
}

/// Adjacent bytes of one source.
#[derive(Clone, Copy, Debug)]
struct Run {
    source: SourceId,
    len: usize,
}

/// See the module. All sizes are bytes.
#[derive(Debug)]
pub struct Queue {
    cap: usize,
    reserve: usize,
    bytes: VecDeque<u8>,
    runs: VecDeque<Run>,
    accounts: Vec<Account>,
    /// Lines that were dropped since the start.
    ever_dropped: u64,
    /// Queued bytes that are not init's own.
    services: usize,
    /// Bytes at the front that are being written elsewhere and must stay.
    pinned: usize,
    /// The last byte that left was not a newline.
    torn: bool,
    /// Whose unfinished line is the last thing that was queued or has left.
    open: Option<SourceId>,
}

impl Queue {
    /// `cap` for all services together, and `reserve` on top of it for init's own lines. A batch that begins below
    /// `cap` is taken whole, so the services' share may exceed it by one batch.
    pub fn new(cap: usize, reserve: usize) -> Self {
        Self {
            cap,
            reserve,
            bytes: VecDeque::new(),
            runs: VecDeque::new(),
            accounts: vec![Account::new("init".to_owned(), OnStall::Drop)],
            ever_dropped: 0,
            services: 0,
            pinned: 0,
            torn: false,
            open: None,
        }
    }

    /// A new account. `label` is what its drops are reported under.
    pub fn open(&mut self, label: String, on_stall: OnStall) -> SourceId {
        let account = Account::new(label, on_stall);
        let free = self.accounts.iter().enumerate().position(|(at, _)| self.is_spent(SourceId(at)));
        match free.and_then(|at| self.accounts.get_mut(at).map(|slot| (at, slot))) {
            Some((at, slot)) => {
                *slot = account;
                SourceId(at)
            }
            None => {
                self.accounts.push(account);
                SourceId(self.accounts.len().saturating_sub(1))
            }
        }
    }

    /// The source ends. What it queued still leaves and what it lost is still reported.
    pub fn close(&mut self, source: SourceId) {
        if let Some(account) = self.accounts.get_mut(source.0) {
            account.live = false;
        }
    }

    /// Nothing refers to the account any more.
    fn is_spent(&self, source: SourceId) -> bool {
        self.open != Some(source)
            && self
                .accounts
                .get(source.0)
                .is_some_and(|a| !a.live && a.queued == 0 && a.dropped.lost().is_none())
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How much the source may queue now.
    pub fn room(&self, source: SourceId) -> usize {
        let queued = self.accounts.get(source.0).map_or(0, |account| account.queued);
        if source == OWN {
            return self.reserve.saturating_sub(queued);
        }
        self.cap.saturating_sub(self.services).saturating_sub(queued)
    }

    /// The source may queue `n` bytes now, or what is a good part of the whole if that is less.
    pub fn has_room(&self, source: SourceId, n: usize) -> bool {
        self.room(source) >= n.min(self.cap >> 3).max(1)
    }

    /// So much is free again that it is worth waking those who wait for room.
    pub fn has_eased(&self) -> bool {
        self.services <= self.cap.saturating_sub(self.cap >> 2)
    }

    /// The log stands in an unfinished line of this source, so that its next bytes continue it.
    pub fn continues(&self, source: SourceId) -> bool {
        self.open == Some(source)
    }

    /// What has to be written before a batch of `source`: a newline when another source's line is unfinished.
    pub fn separator(&self, source: SourceId) -> &'static [u8] {
        match self.open {
            Some(other) if other != source => b"\n",
            _ => b"",
        }
    }

    /// Whether a batch may be appended. Makes room by dropping the source's oldest lines where it may drop; where
    /// that does not help, the batch itself counts as dropped. A source that blocks is never refused: it looks at
    /// [`Queue::room`] before it reads.
    pub fn admit(&mut self, source: SourceId, batch: [&[u8]; 2]) -> bool {
        let len = batch.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        let Some(account) = self.accounts.get(source.0) else { return false };
        let fits = match (source, account.on_stall) {
            (OWN, _) => len <= self.room(OWN),
            (_, OnStall::Block) => true,
            (_, OnStall::Drop) => {
                if self.room(source) == 0 {
                    self.drop_oldest(source, len.max(self.cap >> 3));
                }
                self.room(source) > 0
            }
        };
        if !fits {
            let mut lost = Lost::default();
            batch.iter().for_each(|part| lost.add(part));
            self.count_drop(source, lost);
        }
        fits
    }

    /// Appends a batch of which the first `sent` bytes, counted from [`Queue::separator`], were written already
    /// (only possible while the queue was empty).
    pub fn append(&mut self, source: SourceId, batch: [&[u8]; 2], mut sent: usize) {
        let separator = self.separator(source);
        let owner = self.open.unwrap_or(source);
        for (owner, part) in [(owner, separator), (source, batch[0]), (source, batch[1])] {
            let (gone, rest) = part.split_at_checked(sent).unwrap_or((part, &[]));
            sent = sent.saturating_sub(gone.len());
            if let Some(&last) = gone.last() {
                self.torn = last != b'\n';
            }
            if let Some(&last) = part.last() {
                self.open = (last != b'\n').then_some(owner);
            }
            self.push(owner, rest);
        }
    }

    fn push(&mut self, source: SourceId, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.bytes.extend(bytes);
        match self.runs.back_mut() {
            Some(run) if run.source == source => run.len = run.len.saturating_add(bytes.len()),
            _ => self.runs.push_back(Run { source, len: bytes.len() }),
        }
        if let Some(account) = self.accounts.get_mut(source.0) {
            account.queued = account.queued.saturating_add(bytes.len());
        }
        if source != OWN {
            self.services = self.services.saturating_add(bytes.len());
        }
    }

    fn release(&mut self, source: SourceId, n: usize) {
        if let Some(account) = self.accounts.get_mut(source.0) {
            account.queued = account.queued.saturating_sub(n);
        }
        if source != OWN {
            self.services = self.services.saturating_sub(n);
        }
    }

    /// What leaves next, in two slices.
    pub fn front(&self) -> [&[u8]; 2] {
        let (first, second) = self.bytes.as_slices();
        [first, second]
    }

    /// The first `n` bytes are being written by someone else and stay until [`Queue::consume`].
    pub fn pin(&mut self, n: usize) {
        self.pinned = n;
    }

    /// The first `n` bytes have left.
    pub fn consume(&mut self, n: usize) {
        let n = n.min(self.bytes.len());
        self.pinned = self.pinned.saturating_sub(n);
        if let Some(&last) = n.checked_sub(1).and_then(|at| self.bytes.get(at)) {
            self.torn = last != b'\n';
        }
        self.bytes.drain(..n);
        let mut left = n;
        while left > 0 {
            let Some(run) = self.runs.front_mut() else { break };
            let part = run.len.min(left);
            let source = run.source;
            run.len = run.len.saturating_sub(part);
            if run.len == 0 {
                self.runs.pop_front();
            }
            left = left.saturating_sub(part);
            self.release(source, part);
        }
        self.give_back();
    }

    /// Lines that were dropped since the start, other than by [`Queue::discard`].
    pub fn ever_dropped(&self) -> u64 {
        self.ever_dropped
    }

    /// Throws all of it away, since nobody will ever read it, and forgets any unfinished line.
    pub fn discard(&mut self) -> Lost {
        let mut lost = Lost::default();
        lost.add(self.bytes.make_contiguous());
        self.bytes.clear();
        while let Some(run) = self.runs.pop_front() {
            self.release(run.source, run.len);
        }
        (self.pinned, self.torn, self.open) = (0, false, None);
        self.give_back();
        lost
    }

    fn give_back(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP_CAPACITY {
            self.bytes = VecDeque::new();
        }
    }

    fn count_drop(&mut self, source: SourceId, lost: Lost) {
        self.ever_dropped = self.ever_dropped.saturating_add(lost.lines);
        if let Some(account) = self.accounts.get_mut(source.0) {
            account.dropped.merge(lost);
        }
    }

    /// When the next report about dropped lines is due; `None`: there is nothing to report.
    pub fn report_due_at(&self) -> Option<Duration> {
        self.accounts.iter().filter_map(|account| account.dropped.due_at()).min()
    }

    /// What at most so many sources have dropped since their last report, with their labels; of those only whose next
    /// report is due at `now`, or at the `end` of all.
    pub fn report_drops(&mut self, most: usize, now: Duration, end: bool) -> Vec<(String, Lost)> {
        let due = |account: &&mut Account| account.dropped.due_at().is_some_and(|due| end || due <= now);
        let dropping = self.accounts.iter_mut().filter(due).take(most);
        dropping.map(|account| (account.label.clone(), account.dropped.report(now))).collect()
    }

    /// The end of the bytes that must stay: those being written, and the rest of a line that has begun to leave.
    fn protected(&self) -> usize {
        let begun = match self.pinned.checked_sub(1) {
            Some(last) => self.bytes.get(last).is_some_and(|&byte| byte != b'\n'),
            None => self.torn,
        };
        if !begun {
            return self.pinned;
        }
        let rest = self.bytes.iter().skip(self.pinned).position(|&byte| byte == b'\n');
        rest.map_or(self.bytes.len(), |at| self.pinned.saturating_add(at).saturating_add(1))
    }

    /// Drops whole lines of the source, oldest first, until at least `want` bytes are free or none is left.
    fn drop_oldest(&mut self, source: SourceId, want: usize) {
        let protected = self.protected();
        let bytes = self.bytes.make_contiguous();
        let mut lost = Lost::default();
        let (mut from, mut to, mut freed) = (0usize, 0usize, 0usize);
        let mut drops_tail = false;
        for run in &mut self.runs {
            let end = from.saturating_add(run.len);
            let mut gap = end..end;
            if run.source == source && freed < want && end > protected {
                let start = from.max(protected);
                let enough = start.saturating_add(want.saturating_sub(freed)).saturating_sub(1);
                let newline = bytes.get(enough..end).and_then(|tail| memchr::memchr(b'\n', tail));
                gap = start..newline.map_or(end, |at| enough.saturating_add(at).saturating_add(1));
            }
            lost.add(bytes.get(gap.clone()).unwrap_or_default());
            drops_tail = gap.end == end && !gap.is_empty();
            freed = freed.saturating_add(gap.len());
            run.len = run.len.saturating_sub(gap.len());
            for keep in [from..gap.start, gap.end..end] {
                let len = keep.len();
                bytes.copy_within(keep, to);
                to = to.saturating_add(len);
            }
            from = end;
        }
        self.bytes.truncate(to);
        self.runs.retain(|run| run.len > 0);
        self.release(source, freed);
        if drops_tail && self.open == Some(source) {
            self.open = None;
        }
        self.count_drop(source, lost);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
