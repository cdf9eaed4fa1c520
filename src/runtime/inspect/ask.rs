//! One child, its answer, a limit of time and of size.

use super::super::children::Who;
use super::super::launch::Launch;
use super::super::output::watch;
use super::super::shell::Shell;
use super::super::step::{OnStop, StepEnd};
use crate::config::plan::{Env, LogFormat, OnStall};
use crate::config::values::show_duration;
use crate::logs::format::Label;
use crate::supervisor::ExitStatus;
use crate::sys::fd::{self, Pipe};
use crate::sys::spawn::Output;
use crate::sys::words;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;

/// The most of an answer that is kept. `php-fpm -i` is 30 kB.
const MOST: usize = 1 << 20;
/// For the last bytes of a child that ended; a grandchild may hold its pipes open.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What a new pipe holds at least without a reader (pipe(7)).
const PIPE: usize = 60 << 10;
/// The child's descriptor of what it is given to read.
pub const GIVEN_FD: i32 = 3;

/// What is to be run, as whom.
pub struct Question<'a> {
    pub argv: &'a [&'a str],
    pub user: Option<&'a str>,
    pub env: Option<&'a Env>,
    pub timeout: Duration,
    /// What the child can read at /proc/self/fd/3.
    pub given: Option<&'a str>,
}

impl<'a> Question<'a> {
    /// As the plan's user, with the plan's environment.
    pub fn new(argv: &'a [&'a str], timeout: Duration) -> Self {
        Self { argv, user: None, env: None, timeout, given: None }
    }
}

/// What a child said before it ended.
pub struct Answer {
    pub stdout: String,
    pub stderr: String,
    /// Such as `exit code 255`.
    pub ending: String,
}

/// Runs it to its end.
///
/// # Errors
/// It could not be started, or took too long; in words.
pub async fn ask(shell: &mut Shell, question: &Question<'_>) -> Result<Answer, String> {
    let argv: Vec<String> = question.argv.iter().map(|&word| word.to_owned()).collect();
    let program = argv.first().cloned().unwrap_or_default();
    let none = Env::new();
    let launch = Launch {
        who: Who::Step,
        label: Label::Step { name: "doctor".to_owned() },
        argv: &argv,
        user: question.user,
        work_dir: None,
        env: question.env.unwrap_or(&none),
        umask: 0o077,
        open_files: None,
        format: LogFormat::Inherit,
        on_stall: OnStall::Block,
        all_to_stderr: false,
        tap: None,
    };
    let mut command = shell.command(&launch).map_err(|error| error.to_string())?;
    let owner = command.identity.as_ref().map(|identity| (identity.uid, identity.gid));
    let refused = |error: io::Error| format!("cannot make a pipe for {program}: {}", words(&error));
    let (stdout, stderr) = (pipe(owner).map_err(refused)?, pipe(owner).map_err(refused)?);
    if let Some(text) = question.given {
        command.extra_fds.push((given(text, owner).map_err(refused)?, GIVEN_FD));
    }
    command.stdout = Output::Fd(stdout.write);
    command.stderr = Output::Fd(stderr.write);
    let pid = shell.children.spawn(Who::Step, command).map_err(|error| error.to_string())?;
    let readers =
        [Reader::start(stdout.read).map_err(refused)?, Reader::start(stderr.read).map_err(refused)?];
    let end = shell.wait_step(pid, Some(question.timeout), OnStop::End).await;
    let [stdout, stderr] = readers;
    let (stdout, stderr) = (stdout.finish().await, stderr.finish().await);
    let gone = match end {
        StepEnd::Done(gone) => gone,
        StepEnd::TimedOut => {
            return Err(format!("{program} did not answer within {}", show_duration(question.timeout)));
        }
        StepEnd::Obeyed(..) | StepEnd::Stopped(_) => return Err("the doctor was told to stop".to_owned()),
    };
    if let Some(fault) = gone.fault {
        return Err(fault);
    }
    let ending = match gone.status {
        ExitStatus::Code(code) => format!("exit code {code}"),
        ExitStatus::Signal(signal) => format!("killed by signal {signal}"),
    };
    Ok(Answer { stdout, stderr, ending })
}

/// It belongs to the child's user, who may so re-open it at /proc/self/fd. Where that may not be given away, the child
/// can still write to it.
fn pipe(owner: Option<(u32, u32)>) -> io::Result<Pipe> {
    let pipe = fd::pipe_cloexec()?;
    if let Some((uid, gid)) = owner {
        let _ = fd::fchown(&pipe.write, uid, gid);
    }
    Ok(pipe)
}

/// The read end of a pipe that has all of `text` in it.
fn given(text: &str, owner: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    if text.len() > PIPE {
        return Err(io::Error::other("too much to hand over"));
    }
    let pipe = pipe(owner)?;
    fd::write(&pipe.write, text.as_bytes())?;
    Ok(pipe.read)
}

/// Takes in what comes through a pipe, up to a bound; what is beyond it is read and dropped, so that the child goes on.
struct Reader {
    bytes: Rc<RefCell<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Reader {
    fn start(from: OwnedFd) -> io::Result<Self> {
        fd::set_nonblocking(&from)?;
        let from = watch(File::from(from), Interest::READABLE).map_err(|(_, error)| error)?;
        let bytes: Rc<RefCell<Vec<u8>>> = Rc::default();
        let into = Rc::clone(&bytes);
        let task = tokio::task::spawn_local(async move {
            let mut buffer = [0; 16 << 10];
            loop {
                let Ok(mut ready) = from.readable().await else { return };
                match ready.try_io(|from| fd::read(from.get_ref(), &mut buffer)) {
                    Ok(Ok(0) | Err(_)) => return,
                    Ok(Ok(count)) => {
                        let mut into = into.borrow_mut();
                        let room = MOST.saturating_sub(into.len()).min(count);
                        into.extend_from_slice(buffer.get(..room).unwrap_or_default());
                    }
                    Err(_not_ready) => {}
                }
            }
        });
        Ok(Self { bytes, task })
    }

    async fn finish(mut self) -> String {
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.task).await;
        self.task.abort();
        String::from_utf8_lossy(&self.bytes.borrow()).into_owned()
    }
}
