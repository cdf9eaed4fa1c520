//! What must hold at every moment of every history. A history ends with the first that does not.

/// Each with its name, which a failing seed is reported under, and its sentence.
macro_rules! invariants {
    ($($name:ident $sentence:literal)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Invariant { $(#[doc = $sentence] $name),* }

        impl Invariant {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence),* }
            }
        }
    };
}

invariants! {
    NoPanic "Nothing that happens makes init panic."
    NoSpin "Time goes on: no moment holds ten thousand happenings."
    OneProcess "No id ever has two main processes."
    NothingBeforeBoot "Nothing starts before the boot is done."
    NothingInStop "Nothing starts once the container stops."
    StoppedStaysDown "What somebody stopped starts when somebody asks for it, and not before."
    PlannedOnly "Nothing starts that the plan does not have."
    PauseHolds "What knows the pause signal does not start while the container is paused."
    ClearGround "Nothing starts beside what an earlier process left, unless that has survived SIGKILL for two seconds."
    Ordered "The first start of an instance waits until what its service comes after is up, or never will be."
    Overlap "No entry has more runs than its overlap rule allows."
    Agreed "What is STARTING or RUNNING has a process or has asked for one; what is down has none."
    DeadlineAhead "A deadline is later than the moment it is told at."
    Awaited "What is in BACKOFF is waited for, by a deadline or by what it left behind."
    Killed "What was told to end and does not gets SIGKILL at its limit."
    KillsTheTold "SIGKILL comes to a main process that was told to end, and to no other."
    InTime "A run that is ended by its timeout has had all of it, and time that the container was frozen does not count."
    TermOnce "A stop sends TERM to a whole group once, and once more when somebody asks for the stop again."
    SignalsTheLiving "A signal goes to what the shell still knows, never to what is gone."
    SignalsTheReady "A reload or pause signal goes to a main process that is RUNNING or on its way down."
    Probed "What is probed for readiness is STARTING, and each probe that begins ends."
    Watched "What is probed for liveness is RUNNING, and each probe that begins ends."
    StopEnds "A stop ends within its budget, whatever anyone does, and has a deadline until it has ended."
    EveryoneTold "Everything that lives at the exit has had a signal, and SIGKILL if it is a main process."
    NothingLeft "Before the limit of the stop init exits when nothing is left but what survives SIGKILL, and not earlier."
    CleanExit "A stop that was asked for exits 0."
    LastWord "Nothing follows the exit."
    Settles "When nothing happens any more, what is wanted is RUNNING, and nothing else lives."
    Wanted "What nobody stopped is wanted."
    DueOnce "No moment of a schedule is run twice, unless the clock is set back by more than three hours."
    DueInTime "What is run was due within the last minute, and the next is later than now."
    LinesWhole "No line of a log is torn, mixed with another, doubled or out of order."
    LinesCounted "Every byte of a log leaves or is counted as lost, and a source that blocks loses none."
    LogsBounded "What waits for the reader of the log has a bound."
    RequestsRead "A request is read as it was meant; any other bytes are refused in a few words."
    Bounded "However many events come, the core keeps a bounded number of runs and instances."
}
