//! PURE: OpenMetrics 1.0, the text format: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
//!
//! A family is written with its first sample, so that one without samples leaves no trace.

use std::fmt::{Display, Write as _};

/// What kind of family it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// Its samples end in `_total`.
    Counter,
    /// Its samples end in `_info`, and are 1.
    Info,
    /// One sample for each state, whose label has the family's name.
    StateSet,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::StateSet => "",
        }
    }
}

/// Label names and values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// The text so far.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a family. Its unit is the last word of `name`, where that is one.
    pub fn family<'a>(&'a mut self, kind: Kind, name: &'a str, help: &'a str) -> Family<'a> {
        Family { out: &mut self.0, kind, name, help: Some(help) }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        self.0.push_str("# EOF\n");
        self.0
    }
}

/// One family.
#[derive(Debug)]
pub struct Family<'a> {
    out: &'a mut String,
    kind: Kind,
    name: &'a str,
    /// Until it is written.
    help: Option<&'a str>,
}

impl Family<'_> {
    /// Adds a sample. No two of a family may have the same labels.
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.head();
        self.out.push_str(self.name);
        self.out.push_str(self.kind.suffix());
        for (index, (name, value)) in labels.iter().enumerate() {
            self.out.push(if index == 0 { '{' } else { ',' });
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(self.out, value);
            self.out.push('"');
        }
        self.out.push_str(if labels.is_empty() { " " } else { "} " });
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{value}");
        self
    }

    /// Adds a sample, where there is a value.
    pub fn maybe(&mut self, labels: Labels<'_>, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.sample(labels, value);
        }
        self
    }

    /// Adds a state set of `states`, of which `current` holds.
    pub fn states(&mut self, labels: Labels<'_>, states: &[&str], current: &str) {
        let name = self.name;
        for state in states {
            let labels: Vec<_> = labels.iter().copied().chain([(name, *state)]).collect();
            self.sample(&labels, u8::from(*state == current));
        }
    }

    fn head(&mut self) {
        let Some(help) = self.help.take() else { return };
        let _ = writeln!(self.out, "# TYPE {} {}", self.name, self.kind.name());
        if let Some(unit) = ["seconds", "bytes"].iter().find(|unit| self.name.ends_with(*unit)) {
            let _ = writeln!(self.out, "# UNIT {} {unit}", self.name);
        }
        let _ = write!(self.out, "# HELP {} ", self.name);
        escape(self.out, help);
        self.out.push('\n');
    }
}

fn escape(out: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            char => out.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_written_as_the_specification_has_it() {
        let mut out = Exposition::default();
        out.family(Kind::Gauge, "never", "Nothing of it is there.");
        out.family(Kind::Gauge, "up_seconds", "How \"long\".").sample(&[("a", "x\"\\\ny"), ("b", "")], 1.5);
        out.family(Kind::Counter, "jobs", "All.").sample(&[], 7).maybe(&[("a", "b")], None::<u8>);
        out.family(Kind::StateSet, "phase", "What.").states(&[("n", "1")], &["on", "off"], "off");
        assert_eq!(
            out.finish(),
            "# TYPE up_seconds gauge\n# UNIT up_seconds seconds\n# HELP up_seconds How \\\"long\\\".\n\
             up_seconds{a=\"x\\\"\\\\\\ny\",b=\"\"} 1.5\n\
             # TYPE jobs counter\n# HELP jobs All.\njobs_total 7\n\
             # TYPE phase stateset\n# HELP phase What.\nphase{n=\"1\",phase=\"on\"} 0\nphase{n=\"1\",phase=\"off\"} 1\n\
             # EOF\n"
        );
    }
}
