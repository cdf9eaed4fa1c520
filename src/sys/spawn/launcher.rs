//! Children on their way from clone to exec, and the memory that they use until then.
//!
//! Such a child shares init's memory (CLONE_VM). A fork copies it page by page, here and again wherever the two write
//! afterwards: that was half of what a start cost. vfork(2) and posix_spawn(3) share too, and for safety hold the parent
//! until the exec. PID 1 must not wait for that: the child's chdir and exec may hang on a network file system, and its new
//! owner may STOP it. So init waits a moment at most, and what the child reads stays where it is until the kernel tells that
//! the child has left this memory: by exec or by death.
#![expect(unsafe_code, reason = "clone(2)")]

use super::child;
use super::fault::{ExecFault, FaultPipe};
use super::prepare::Prepared;
use crate::sys::Pid;
use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Twice of what the child was seen to need in a build without optimization. Nothing in it recurses.
const STACK: usize = 16 << 10;

/// When so many are on their way the next one waits for the first of them, so that a thousand starts at once need no more
/// memory than these…
const ON_THEIR_WAY: usize = 4;
/// …but no longer than this, and not at all while the last one has waited in vain.
const PATIENCE: Duration = Duration::from_millis(5);
/// Init waits so long for the first of a batch; an exec takes a tenth of it…
const HEAD_START: Duration = Duration::from_millis(2);
/// …unless so many in a row were not there by then: programs come from far away, or this kernel does not tell of an exec
/// (gVisor's clears the word when the process ends).
const IN_VAIN: u8 = 8;

/// Memory of its own, which goes back to the kernel whole: in the heap, stacks would leave holes between what stays.
struct Stack(NonNull<libc::c_void>);

impl Stack {
    fn new() -> io::Result<Self> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, wherever there is room.
        let address = unsafe { libc::mmap(ptr::null_mut(), STACK, protection, flags, -1, 0) };
        match NonNull::new(address) {
            Some(start) if address != libc::MAP_FAILED => Ok(Self(start)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// It grows down from here.
    fn top(&self) -> *mut libc::c_void {
        // SAFETY: the end of the mapping, of which a pointer may be made.
        unsafe { self.0.as_ptr().byte_add(STACK) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: made by `new`; who drops the loan has seen that the child has left it.
        unsafe { libc::munmap(self.0.as_ptr(), STACK) };
    }
}

/// What one child uses of init's memory.
struct Loan {
    prepared: Prepared,
    /// Set to zero by the kernel.
    shares: AtomicU32,
    stack: Stack,
}

/// A child that may not have executed its program yet. Never dropped while it uses the loan: see [`Launcher::collect`].
struct Launch {
    pid: Pid,
    loan: NonNull<Loan>,
}

impl Loan {
    fn new(prepared: Prepared) -> io::Result<NonNull<Self>> {
        let loan = Self { prepared, shares: AtomicU32::new(1), stack: Stack::new()? };
        Ok(NonNull::from(Box::leak(Box::new(loan))))
    }
}

impl Launch {
    fn is_over(&self) -> bool {
        // SAFETY: the loan lives as long as this.
        unsafe { self.loan.as_ref() }.shares.load(Ordering::Acquire) == 0
    }

    /// Waits until the child no longer uses the loan, for a moment; false: in vain.
    fn wait(&self, patience: Duration) -> bool {
        // SAFETY: the loan lives as long as this.
        let word = unsafe { self.loan.as_ref() }.shares.as_ptr();
        let timeout = libc::timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
        // SAFETY: reads the word, which the kernel wakes this thread for when it has set it, and the time.
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, 1_u32, &raw const timeout) };
        self.is_over()
    }

    /// # Safety
    /// The child no longer uses the loan.
    unsafe fn free(self) {
        // SAFETY: a leaked box, made by `Loan::new`, and by the caller's promise nobody else's any more.
        drop(unsafe { Box::from_raw(self.loan.as_ptr()) });
    }
}

/// Where children are started from, and report to when they cannot become their program. Made once.
pub struct Launcher {
    faults: FaultPipe,
    launches: RefCell<Vec<Launch>>,
    /// Some that have executed their program meanwhile, and were not told of yet.
    executed: RefCell<Vec<Pid>>,
    /// The last wait in a crowd was in vain: a file system hangs, or somebody has stopped a child.
    hangs: Cell<bool>,
    /// Nothing was launched since init last [rested](Launcher::rest): the next one is the first of a batch, or alone.
    rested: Cell<bool>,
    /// So many first ones in a row were waited for in vain.
    vain: Cell<u8>,
    /// There may be something in the pipe: spares the reaper of many orphans a look.
    untold: Cell<bool>,
}

impl Launcher {
    /// # Errors
    /// The system refused a pipe.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            faults: FaultPipe::new()?,
            launches: RefCell::default(),
            executed: RefCell::default(),
            hangs: Cell::new(false),
            rested: Cell::new(true),
            vain: Cell::new(0),
            untold: Cell::new(false),
        })
    }

    pub(super) fn faults(&self) -> &FaultPipe {
        &self.faults
    }

    /// What children that could not become their program have told since the last call.
    pub fn drain_faults(&self) -> Vec<ExecFault> {
        // A child that has left its loan has told by then whatever it had to tell.
        let all_told = self.launches.borrow().is_empty();
        let untold = self.untold.replace(!all_told);
        if untold { self.faults.drain() } else { Vec::new() }
    }

    /// Starts the child. Every signal must be blocked: init's handlers are no business of the child's.
    pub(super) fn launch(&self, prepared: Prepared) -> io::Result<Pid> {
        self.make_way();
        let loan = Loan::new(prepared)?;
        // SAFETY: nobody else has it yet.
        let top = unsafe { loan.as_ref() }.stack.top();
        // SAFETY: the child runs `enter` on a stack that nobody else uses, and nothing but system calls with memory that the
        // loan keeps valid, until the kernel has set `shares` to zero. It touches nothing of the thread's own that libc
        // keeps, for that is this thread's. What other threads do or hold meanwhile does not matter to it.
        let clone = |flags| unsafe { libc::clone(enter, top, flags, loan.as_ptr().cast()) };
        let mut result = clone(libc::CLONE_VM | libc::SIGCHLD);
        let shared = result >= 0;
        if !shared && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
            // QEMU, which runs an image of another architecture, knows such memory between threads alone (linux-user's
            // do_fork). The child then has a copy, and its loan ends when it is reaped.
            result = clone(libc::SIGCHLD);
        }
        let error = io::Error::last_os_error();
        let Some(pid) = Pid::new(result) else {
            // SAFETY: there is no child.
            unsafe { Launch { pid: Pid::current(), loan }.free() };
            return Err(error);
        };
        let launch = Launch { pid, loan };
        if self.rested.take() && shared && self.vain.get() < IN_VAIN {
            // What init has to do after a start takes three times as long as the child's way to its exec. Where both are on
            // one processor the child would begin when init next sleeps, however init yields.
            self.vain.set(if launch.wait(HEAD_START) { 0 } else { self.vain.get().saturating_add(1) });
        }
        self.launches.borrow_mut().push(launch);
        self.untold.set(true);
        Ok(pid)
    }

    fn make_way(&self) {
        if self.launches.borrow().len() < ON_THEIR_WAY {
            return;
        }
        self.take_back(|_| false);
        let launches = self.launches.borrow();
        let crowded = launches.len() >= ON_THEIR_WAY;
        if let Some(first) = launches.first().filter(|_| crowded && !self.hangs.get()) {
            self.hangs.set(!first.wait(PATIENCE));
        }
        drop(launches);
        self.take_back(|_| false);
    }

    /// Takes back what children have used that have executed their program, and tells which since the last call; also what
    /// those have used that are `reaped`, for the kernel tells nothing of one that was killed before its first instruction.
    pub fn collect(&self, reaped: impl Fn(Pid) -> bool) -> Vec<Pid> {
        self.take_back(&reaped);
        let mut executed = self.executed.take();
        executed.retain(|pid| !reaped(*pid));
        executed
    }

    /// Init has nothing else to do: what is launched next begins a batch.
    pub fn rest(&self) {
        self.rested.set(true);
    }

    fn take_back(&self, reaped: impl Fn(Pid) -> bool) {
        let mut launches = self.launches.borrow_mut();
        for launch in launches.extract_if(.., |launch| launch.is_over() || reaped(launch.pid)) {
            self.hangs.set(false);
            self.executed.borrow_mut().push(launch.pid);
            // SAFETY: the child has left this memory.
            unsafe { launch.free() };
        }
    }

    /// No child is on its way.
    pub fn is_idle(&self) -> bool {
        self.launches.borrow().is_empty() && self.executed.borrow().is_empty()
    }
}

extern "C" fn enter(loan: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `launch` passes a loan, which nobody writes to or frees while this child uses it; `shares` is atomic, and the
    // stack is not touched through this reference.
    let (prepared, shares) = unsafe {
        let loan = loan.cast::<Loan>();
        (&(*loan).prepared, &(*loan).shares)
    };
    child::run(prepared, shares)
}

#[cfg(test)]
mod tests {
    use crate::sys::reap::Reaper;
    use crate::sys::spawn::Command;

    #[test]
    fn what_a_child_used_comes_back_when_it_has_executed_or_ended() {
        let mut reaper = Reaper::new().unwrap();
        let mut started = vec![Command::new(["/bin/true"]).spawn(reaper.launcher()).unwrap()];
        started.push(Command::new(["/proc/self/exe/no"]).spawn(reaper.launcher()).unwrap_or(started[0]));
        while !started.is_empty() {
            let batch = reaper.reap();
            started.retain(|pid| !batch.reaped.iter().any(|gone| gone.pid == *pid));
            std::thread::yield_now();
        }
        assert!(reaper.launcher().is_idle());
    }

    #[test]
    fn a_child_is_there_first_only_where_that_is_worth_the_wait() {
        let mut reaper = Reaper::new().unwrap();
        let is_there = |reaper: &mut Reaper| {
            let child = Command::new(["/bin/true"]).spawn(reaper.launcher()).unwrap();
            let over = reaper.launcher().launches.borrow().last().unwrap().is_over();
            while !reaper.reap().reaped.iter().any(|gone| gone.pid == child) {
                std::thread::yield_now();
            }
            reaper.launcher().rest();
            over
        };
        // On a machine with much else to do some of them may be late.
        assert!((0..50).any(|_| is_there(&mut reaper)));
        reaper.launcher().vain.set(super::IN_VAIN);
        let _ = (0..20).filter(|_| is_there(&mut reaper)).count();
        assert_eq!(reaper.launcher().vain.get(), super::IN_VAIN, "nobody was waited for any more");
    }
}
