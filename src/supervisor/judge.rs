//! When the container ends because of its services.

use super::Supervisor;
use super::event::Severity;
use super::runs::Cron;
use super::turn::Turn;
use super::unit::Unit;

impl Supervisor {
    /// Ends the container when a service that it cannot be without has failed, or when nothing is left.
    pub(super) fn judge(&mut self, turn: &mut Turn<'_>) {
        if self.first_failure.is_none() {
            self.first_failure = self.units.iter().find_map(Unit::failure);
        }
        let verdict = self.units.iter().find_map(|unit| Some((unit.spec.name.as_str(), unit.verdict()?)));
        let (severity, text, code) = match verdict {
            Some((name, (code, why))) => {
                let severity = if code == 0 { Severity::Info } else { Severity::Error };
                (severity, format!("{name} {why}: stopping the container with exit code {code}"), code)
            }
            None if self.units.iter().all(Unit::retired) && self.no_crons() => {
                let text = "there is no service and no cron entry for this role: stopping".to_owned();
                (Severity::Warn, text, crate::exit::OK)
            }
            None if self.nothing_left() => {
                let code = self.first_failure.unwrap_or(crate::exit::OK);
                let severity = if code == 0 { Severity::Info } else { Severity::Error };
                let text =
                    format!("no service is left and there is no cron entry: stopping with exit code {code}");
                (severity, text, code)
            }
            None => return,
        };
        turn.tell(severity, None, text);
        self.begin_stop(code, false, turn);
    }

    fn nothing_left(&self) -> bool {
        let over = |unit: &Unit| unit.kept().all(|instance| instance.state.is_final());
        self.no_crons() && self.units.iter().all(over)
    }

    fn no_crons(&self) -> bool {
        self.crons.iter().all(Cron::over)
    }
}
