//! What a child reports when it cannot become its program: one record in the pipe that all children share.
//!
//! Each child writes at most one record, smaller than PIPE_BUF, so records never mix; it writes before it exits, so whoever
//! drains the pipe *after* reaping a child has its record. The child calls [`Report::encode`], which does not allocate.

use super::fault::{ExecFault, Stage};
use crate::sys::Pid;
use nix::fcntl::OFlag;
use std::cell::RefCell;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the kernel reads of a script to find its interpreter: BINPRM_BUF_SIZE in linux/binfmts.h.
pub(super) const HEAD: usize = 256;
/// A header of 23 bytes, and the head.
const LARGEST: usize = 23 + HEAD;

/// What is at the program's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Missing,
    /// The user may not look.
    Hidden,
    /// A symbolic link that leads nowhere.
    Link,
    Directory,
    /// A FIFO, a socket or a device.
    Special,
    File,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Missing, Self::Hidden, Self::Link, Self::Directory, Self::Special, Self::File];
}

/// What a child found where its program should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its place among the command's candidates.
    pub(super) candidate: u16,
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u16,
    pub(super) empty: bool,
    /// It is on a file system that is mounted noexec.
    pub(super) noexec: bool,
    /// The interpreter that its first line names is a file that somebody may execute.
    pub(super) interpreter: bool,
    /// The magic number of its file system: statfs(2).
    pub(super) file_system: u32,
    pub(super) length: u16,
    /// The first `length` bytes are the file's own, or a link's target.
    pub(super) bytes: [u8; HEAD],
}

impl Found {
    pub(super) fn new(candidate: usize, kind: Kind) -> Self {
        Self {
            candidate: u16::try_from(candidate).unwrap_or(u16::MAX),
            kind,
            mode: 0,
            empty: false,
            noexec: false,
            interpreter: false,
            file_system: 0,
            length: 0,
            bytes: [0; HEAD],
        }
    }

    /// The file's first bytes, as far as the user may read them, or a link's target.
    pub(super) fn text(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// `/usr/bin/env` of `#!/usr/bin/env php`.
    pub(super) fn shebang(&self) -> Option<&[u8]> {
        let line = self.text().strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
        line.trim_ascii_start()
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .next()
            .filter(|path| !path.is_empty())
    }
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) pid: i32,
    pub(super) stage: Stage,
    pub(super) errno: i32,
    pub(super) found: Found,
}

impl Report {
    /// The record, and its length.
    pub(super) fn encode(&self) -> ([u8; LARGEST], usize) {
        let found = &self.found;
        let flags = [found.empty, found.noexec, found.interpreter];
        let header = self.pid.to_ne_bytes().into_iter().chain(self.errno.to_ne_bytes());
        let header = header.chain([self.stage as u8, found.kind as u8]).chain(flags.map(u8::from));
        let header = header.chain(found.file_system.to_ne_bytes()).chain(found.mode.to_ne_bytes());
        let header = header.chain(found.candidate.to_ne_bytes()).chain(found.length.to_ne_bytes());
        let (mut record, mut length) = ([0; LARGEST], 0_usize);
        for (to, from) in record.iter_mut().zip(header.chain(found.text().iter().copied())) {
            *to = from;
            length = length.saturating_add(1);
        }
        (record, length)
    }

    /// Takes one record off the front of `bytes`.
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (pid, errno) = (i32::from_ne_bytes(take(bytes)?), i32::from_ne_bytes(take(bytes)?));
        let [stage, kind, empty, noexec, interpreter] = take(bytes)?;
        let stage = Stage::ALL.into_iter().find(|known| *known as u8 == stage)?;
        let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind)?;
        let file_system = u32::from_ne_bytes(take(bytes)?);
        let [mode, candidate, length] = [take(bytes)?, take(bytes)?, take(bytes)?].map(u16::from_ne_bytes);
        let (text, rest) =
            bytes.split_at_checked(usize::from(length)).filter(|(text, _)| text.len() <= HEAD)?;
        *bytes = rest;
        let mut found = Found {
            mode,
            empty: empty != 0,
            noexec: noexec != 0,
            interpreter: interpreter != 0,
            file_system,
            length,
            ..Found::new(usize::from(candidate), kind)
        };
        found.bytes.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        Some(Self { pid, stage, errno, found })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

/// Where all children report. Made once.
#[derive(Debug)]
pub(super) struct FaultPipe {
    read: std::fs::File,
    write: OwnedFd,
    received: RefCell<Vec<ExecFault>>,
}

impl FaultPipe {
    /// Neither end blocks: init must not wait for a child, nor a child for init.
    pub(super) fn new() -> io::Result<Self> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Self { read: read.into(), write, received: RefCell::default() })
    }

    /// Makes room in the pipe, which holds some 200 records. Called at each start, so that a thousand children that fail in
    /// one turn of the loop are all heard.
    pub(super) fn receive(&self) {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        // Records are written whole, so they are read whole. An error is WouldBlock: nothing more.
        while let Ok(length @ 1..) = (&self.read).read(&mut buffer) {
            bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
        let mut rest = bytes.as_slice();
        while let Some(report) = Report::decode(&mut rest) {
            if let Some(pid) = Pid::new(report.pid) {
                self.received.borrow_mut().push(ExecFault::new(pid, &report));
            }
        }
    }

    /// Everything that was reported since the last call.
    pub(super) fn drain(&self) -> Vec<ExecFault> {
        self.receive();
        self.received.take()
    }

    pub(super) fn write_end(&self) -> BorrowedFd<'_> {
        self.write.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(stage: Stage, text: &[u8]) -> Report {
        let mut found = Found { mode: 0o755, noexec: true, file_system: 0xef53, ..Found::new(3, Kind::File) };
        found.bytes[..text.len()].copy_from_slice(text);
        found.length = text.len().try_into().unwrap();
        Report { pid: 77, stage, errno: libc::EACCES, found }
    }

    fn send(pipe: &FaultPipe, report: &Report) -> bool {
        let (record, length) = report.encode();
        crate::sys::fd::write(&pipe.write, &record[..length]).is_ok()
    }

    #[test]
    fn records_survive_the_pipe() {
        let pipe = FaultPipe::new().unwrap();
        assert_eq!(pipe.drain(), []);
        let texts = [&b""[..], b"#!/bin/sh\n", &[7; HEAD]];
        let sent: Vec<Report> =
            Stage::ALL.into_iter().flat_map(|stage| texts.map(|text| report(stage, text))).collect();
        assert!(sent.iter().all(|report| send(&pipe, report)));
        let expected: Vec<_> = sent.iter().map(|sent| ExecFault::new(Pid::new(77).unwrap(), sent)).collect();
        assert!(pipe.drain() == expected);
        assert_eq!(pipe.drain(), []);
    }

    #[test]
    fn a_full_pipe_blocks_nobody() {
        let pipe = FaultPipe::new().unwrap();
        let full = (0..).take_while(|_| send(&pipe, &report(Stage::User, &[7; HEAD]))).count();
        assert!(full >= 100, "{full}");
        pipe.receive();
        assert!(send(&pipe, &report(Stage::User, b"")));
        assert_eq!(pipe.drain().len(), full + 1);
    }

    #[test]
    fn a_record_is_written_in_one_piece() {
        const { assert!(LARGEST <= 4096, "PIPE_BUF: pipe(7)") };
        let (record, length) = report(Stage::Execute, &[7; HEAD]).encode();
        assert_eq!((length, record.last()), (LARGEST, Some(&7)));
        assert_eq!(report(Stage::Execute, &[7; HEAD - 1]).encode().1, LARGEST - 1);
    }

    #[test]
    fn interpreters_are_read_as_the_kernel_does() {
        let shebang = |text: &[u8]| {
            let found = report(Stage::Execute, text).found;
            found.shebang().map(|path| String::from_utf8_lossy(path).into_owned())
        };
        assert_eq!(shebang(b"#!/bin/sh\n").as_deref(), Some("/bin/sh"));
        assert_eq!(shebang(b"#! /usr/bin/env php\r\n").as_deref(), Some("/usr/bin/env"));
        assert_eq!(shebang(b"#!/bin/sh\r\nx").as_deref(), Some("/bin/sh\r"));
        assert_eq!(shebang(b"#!\n"), None);
        assert_eq!(shebang(b"<?php"), None);
    }
}
