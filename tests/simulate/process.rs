//! How the fake processes behave.

use super::luck::Luck;
use php_init::config::plan::Signal;
use php_init::supervisor::{ExitStatus, Id};
use std::time::Duration;

/// How one process behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// No process comes of it, with this code: 71 as of EAGAIN, ENOMEM and EMFILE, 126 and 127 as of the stages of exec.
    pub unstartable: Option<u8>,
    /// It ends after so long without having become its program, with this code.
    pub faults: Option<(Duration, u8)>,
    /// From its start until its probe says yes.
    pub ready_after: Option<Duration>,
    /// It ends by itself after this, so.
    pub ends: Option<(Duration, ExitStatus)>,
    /// How long its main process takes to obey a stop signal; `None`: it never does.
    pub obeys_after: Option<Duration>,
    /// It leaves others behind, which live for so long (`None`: for ever) unless they are signalled.
    pub leaves: Option<Option<Duration>>,
    /// What it leaves behind obeys TERM.
    pub heirs_obey: bool,
    /// How long what it leaves behind survives KILL: it had left the group, or waits in the kernel.
    pub heirs_survive: Duration,
    /// From when on its liveness probe fails, counted from its start.
    pub sick_after: Option<Duration>,
    /// Its probes answer yes and no by turns.
    pub flaps: bool,
    /// Even KILL does not end it: it waits in the kernel.
    pub immortal: bool,
}

impl Default for Behaviour {
    /// Runs for ever, is ready at once, obeys at once, leaves nothing behind.
    fn default() -> Self {
        Self {
            unstartable: None,
            faults: None,
            ready_after: Some(Duration::ZERO),
            ends: None,
            obeys_after: Some(Duration::ZERO),
            leaves: None,
            heirs_obey: true,
            heirs_survive: Duration::from_millis(1),
            sick_after: None,
            flaps: false,
            immortal: false,
        }
    }
}

/// Which oddities the processes of a history have, one bit each, so that a failing one can lose them one by one.
pub const ODDITIES: u32 = 10;

impl Behaviour {
    /// As the dice of this very start have it.
    pub fn random(seed: u64, id: Id, start: u32) -> Self {
        let words = match id {
            Id::Service { unit, instance } => [1, unit.into(), instance.into(), start.into()],
            Id::Run { unit, run } => [2, unit.into(), run.into(), start.into()],
        };
        let luck = &mut Luck::of(seed, words);
        let status = match luck.below(5) {
            0 | 1 => ExitStatus::Code(0),
            2 | 3 => ExitStatus::Code(luck.pick(&[1, 12, 78, 255])),
            _ => ExitStatus::Signal(luck.pick(&[Signal::KILL, Signal::TERM, Signal::QUIT])),
        };
        Self {
            unstartable: luck.one_in(8).then(|| luck.pick(&[71, 71, 126, 127, 0])),
            faults: luck.one_in(8).then(|| (luck.span(), luck.pick(&[71, 126, 127]))),
            ready_after: (!luck.one_in(5)).then(|| luck.span()),
            ends: (!luck.one_in(4)).then(|| (luck.span(), status)),
            obeys_after: (!luck.one_in(4)).then(|| luck.span()),
            leaves: luck.one_in(3).then(|| luck.one_in(2).then(|| luck.span())),
            heirs_obey: luck.one_in(2),
            heirs_survive: if luck.one_in(6) { luck.span() } else { Duration::from_millis(1) },
            sick_after: luck.one_in(4).then(|| luck.span()),
            flaps: luck.one_in(6),
            immortal: luck.one_in(40),
        }
    }

    /// Comes up, stays up, and ends when it is told, in the end by KILL.
    pub fn decent(self, start: u32) -> Self {
        Self {
            unstartable: None,
            faults: None,
            ready_after: Some(self.ready_after.unwrap_or_default().min(Duration::from_secs(10))),
            ends: None,
            leaves: self.leaves.map(|_| None),
            heirs_survive: self.heirs_survive.min(Duration::from_secs(5)),
            sick_after: self.sick_after.filter(|after| start < 3 && *after <= Duration::from_secs(300)),
            flaps: false,
            immortal: false,
            ..self
        }
    }

    /// With these oddities alone.
    pub fn only(self, odd: u32) -> Self {
        let plain = Self::default();
        let has = |bit: u32| odd & (1 << bit) != 0;
        Self {
            unstartable: self.unstartable.filter(|_| has(0)),
            faults: self.faults.filter(|_| has(1)),
            ready_after: if has(2) { self.ready_after } else { plain.ready_after },
            ends: self.ends.filter(|_| has(3)),
            obeys_after: if has(4) { self.obeys_after } else { plain.obeys_after },
            leaves: self.leaves.filter(|_| has(5)),
            heirs_obey: self.heirs_obey || !has(5),
            heirs_survive: if has(6) { self.heirs_survive } else { plain.heirs_survive },
            sick_after: self.sick_after.filter(|_| has(7)),
            flaps: self.flaps && has(8),
            immortal: self.immortal && has(9),
        }
    }
}

/// What the kernel has of one id: its main process, what that left behind, or both.
#[derive(Clone, Debug)]
pub struct Proc {
    pub behaviour: Behaviour,
    /// The main process has not been reaped.
    pub main: bool,
    /// It has ended and waits for init to reap it.
    pub zombie: Option<Death>,
    /// Tells this process from earlier ones of the same id, so that their happenings do not touch it.
    pub generation: u64,
    pub heirs: bool,
    /// KILL has come to what it would leave behind.
    pub heirs_dead: bool,
    pub since: super::world::Moment,
    /// It has had any signal of a stop; it has had KILL.
    pub signalled: bool,
    /// What it may take, and how much of its life was spent frozen.
    pub timeout: Option<Duration>,
    pub frozen: Duration,
    /// How often its whole group has had TERM.
    pub terms: u32,
    pub killed: Option<super::world::Moment>,
    /// By when it must have had KILL, since it is STOPPING.
    pub kill_by: Option<super::world::Moment>,
    /// When what it left behind must have had KILL.
    pub heirs_kill_by: Option<super::world::Moment>,
    /// Attempts of its probes so far.
    pub asked: u32,
}

/// How a process ended, as init will learn.
#[derive(Clone, Copy, Debug)]
pub enum Death {
    Ended(ExitStatus),
    /// It never became its program.
    Faulted(u8),
}
