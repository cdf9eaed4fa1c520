//! Low numbers for what a child gets, so that it need not copy all that init has open.
//!
//! A child has a descriptor table of its own: the kernel copies init's at the clone, and closes the copies at the exec. With
//! a thousand services that is two thousand pipes for each of them, and half of what the start of one costs. So where there
//! are many, what the child gets is put into a few low numbers first; it begins with init's own table, and takes leave with
//! a copy of the beginning of it alone (close_range(2), CLOSE_RANGE_UNSHARE).

#![expect(unsafe_code, reason = "dup3(2) onto a descriptor that is open, and close_range(2)")]

use super::prepare::Prepared;
use crate::sys::{check, fd};
use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A table of so many is worth it. Numbers are given out lowest first, so that a new one tells how many there are.
const MANY: RawFd = 64;

/// What most children get: stdin, stdout and stderr.
const EACH: usize = 3;

/// Room for so many descriptors, if the limit allows: those of two thousand services.
const TABLE: RawFd = 8192;

/// Numbers for so many children at once; each holds /dev/null while no child needs it.
const CHILDREN: usize = 4;

/// Made when the first child needs it.
#[derive(Default)]
pub(super) struct Slots {
    /// `None`: this system cannot do it.
    rows: OnceCell<Option<Rows>>,
    taken: [Cell<bool>; CHILDREN],
}

struct Rows {
    null: OwnedFd,
    slots: [[OwnedFd; EACH]; CHILDREN],
    /// Above all of them.
    end: RawFd,
}

/// What one child was given, until [`Slots::give_back`].
#[derive(Debug)]
pub(super) struct Row(usize);

impl Slots {
    /// Lets the child of `prepared` begin with init's own table, if it is large and the child can leave it.
    pub(super) fn take(&self, prepared: &mut Prepared) -> Option<Row> {
        let moves = &prepared.moves;
        let is_large = moves.iter().any(|(from, _)| *from >= MANY);
        if !is_large || moves.len() > EACH || moves.iter().any(|(_, to)| *to > 2) || !prepared.close_inherited
        {
            return None;
        }
        let rows = self.rows.get_or_init(Rows::new).as_ref()?;
        if prepared.fault >= rows.end {
            return None;
        }
        let at = self.taken.iter().position(|taken| !taken.get())?;
        let row = rows.slots.get(at)?;
        let mut moved = Vec::with_capacity(EACH);
        for ((from, to), slot) in moves.iter().zip(row) {
            if put(*from, slot).is_err() {
                rows.clear(at);
                return None;
            }
            moved.push((slot.as_raw_fd(), *to));
        }
        prepared.moves = moved;
        prepared.own_below = Some(rows.end);
        self.taken.get(at)?.set(true);
        Some(Row(at))
    }

    /// The child has a table of its own now, or is gone.
    pub(super) fn give_back(&self, row: Row) {
        if let (Some(Some(rows)), Some(taken)) = (self.rows.get(), self.taken.get(row.0)) {
            rows.clear(row.0);
            taken.set(false);
        }
    }
}

impl Rows {
    fn new() -> Option<Self> {
        // A range that ends before it begins is refused by a kernel that has the call (Linux 5.9, the flag with it) and a
        // sandbox that lets it through. Anything that is carried out would part this thread from the table of the others.
        // SAFETY: three numbers.
        unsafe { libc::syscall(libc::SYS_close_range, 1_u32, 0_u32, libc::CLOSE_RANGE_UNSHARE) };
        if io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL) {
            return None;
        }
        let null = fd::dev_null().ok()?;
        // The kernel makes the table larger now, for it waits for all processors when it does so to one that is shared
        // (fs/file.c, expand_fdtable).
        drop((0..4).find_map(|halved| fd::duplicate_above(&null, TABLE >> halved).ok()));
        let slot = || fd::duplicate_above(&null, 3).ok();
        let row = || Some([slot()?, slot()?, slot()?]);
        let slots = [row()?, row()?, row()?, row()?];
        let end = slots.iter().flatten().map(AsRawFd::as_raw_fd).max()?.checked_add(1)?;
        Some(Self { null, slots, end })
    }

    /// So that nobody holds a service's pipes open but its own processes: their end tells that nobody writes any more.
    fn clear(&self, at: usize) {
        for slot in self.slots.get(at).into_iter().flatten() {
            // Cannot fail: both are open.
            let _ = put(self.null.as_raw_fd(), slot);
        }
    }
}

/// Makes `slot` what `from` is, closed on exec.
fn put(from: RawFd, slot: &OwnedFd) -> io::Result<()> {
    // SAFETY: `slot` is ours and stays open; what it was is closed.
    check(unsafe { libc::dup3(from, slot.as_raw_fd(), libc::O_CLOEXEC) }).map(drop)
}

#[cfg(test)]
mod tests {
    use crate::sys::reap::Reaper;
    use crate::sys::spawn::{Command, Output};
    use std::io::Read;
    use std::os::fd::OwnedFd;

    /// Starts more at once than there are slots, beside a table that is large, and reads what each has to say.
    #[test]
    fn each_child_has_its_own_output_and_nothing_else() {
        let many: Vec<OwnedFd> = (0..200).map(|_| crate::sys::fd::dev_null().unwrap()).collect();
        let mut reaper = Reaper::new().unwrap();
        let mut outputs = Vec::new();
        for number in 0..12 {
            let (out, err) =
                (crate::sys::fd::pipe_cloexec().unwrap(), crate::sys::fd::pipe_cloexec().unwrap());
            let script = format!(
                "echo out {number}; echo err {number} >&2; ls /proc/self/fd; read -r line || echo end"
            );
            let mut command = Command::new(["/bin/sh", "-c", script.as_str()]);
            command.env = vec![("PATH".into(), "/bin:/usr/bin".into())];
            command.stdout = Output::Fd(out.write);
            command.stderr = Output::Fd(err.write);
            command.spawn(reaper.launcher()).unwrap();
            outputs.push((number, out.read, err.read));
        }
        let mut left = outputs.len();
        while left > 0 {
            // Also takes back what the children have used: nobody may hold the pipes' other ends after it.
            left -= reaper.reap().reaped.len();
            reaper.launcher().collect(|_| false);
            std::thread::yield_now();
        }
        for (number, out, err) in outputs {
            let (mut told, mut complained) = (String::new(), String::new());
            std::fs::File::from(out).read_to_string(&mut told).unwrap();
            std::fs::File::from(err).read_to_string(&mut complained).unwrap();
            // The 3 is the directory that ls reads.
            assert_eq!(told, format!("out {number}\n0\n1\n2\n3\nend\n"));
            assert_eq!(complained, format!("err {number}\n"));
        }
        assert!(reaper.launcher().is_idle());
        drop(many);
    }
}
