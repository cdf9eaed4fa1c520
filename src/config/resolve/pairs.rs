//! Files that need other files of the plan: a key its certificate, a copy what it is copied from.

use super::build::Builder;
use crate::config::plan::{FileFormat, FilePlan};
use crate::config::schema::File;
use crate::config::suggest;
use crate::config::values::At;
use std::path::{Path, PathBuf};

/// What the entries say of each other, until all of them are known.
#[derive(Default)]
pub struct Pairs {
    /// Names and paths of all entries.
    known: Vec<(Option<String>, PathBuf)>,
    /// What `certificate` says, by the path of the key.
    given: Vec<(PathBuf, At<String>)>,
}

impl Pairs {
    pub fn add(&mut self, file: &File, path: &Path) {
        self.known.push((file.name.as_ref().map(|name| name.value.clone()), path.to_owned()));
        self.given.extend(file.certificate.clone().map(|given| (path.to_owned(), given)));
    }

    /// Sets [`FilePlan::certificate`] of every key.
    pub fn resolve(self, builder: &mut Builder<'_>, files: &mut [FilePlan]) {
        for (path, given) in self.given {
            let wanted = &given.value;
            let found = self.known.iter().find(|(name, path)| {
                name.as_ref() == Some(wanted) || path.as_path() == Path::new(wanted.as_str())
            });
            let Some((_, certificate)) = found else {
                let names: Vec<&str> = self.known.iter().filter_map(|(name, _)| name.as_deref()).collect();
                let hint = suggest::hint(wanted, &names, "files");
                let text = format!("there is no [[file]] \"{}\": {hint}", builder.show(&given));
                builder.error(given.loc, text);
                continue;
            };
            let pem =
                |path: &Path| files.iter().any(|file| file.path == path && file.format == FileFormat::Pem);
            if *certificate == path {
                builder.error(given.loc, "this is the entry itself: name the one with the certificate");
            } else if !pem(&path) || !pem(certificate) {
                builder.error(given.loc, "a key and its certificate both need format = \"pem\"");
            } else if let Some(key) = files.iter_mut().find(|file| file.path == path) {
                key.certificate = Some(certificate.clone());
            }
        }
    }
}

/// The files in an order in which each comes after those that it needs. Where they need each other, as they were given.
pub fn in_order(mut files: Vec<FilePlan>) -> Vec<FilePlan> {
    let mut ordered = Vec::with_capacity(files.len());
    while !files.is_empty() {
        let free = files.iter().position(|file| !files.iter().any(|other| file.needs(other)));
        ordered.push(files.remove(free.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use crate::config::resolve::{Layers, resolve};
    use crate::config::tree::Source;

    fn paths(files: &[(&str, &str, &str)]) -> Vec<String> {
        let entry = |(path, source, more): &(&str, &str, &str)| {
            format!(
                "[[file]]\nname = '{path}'\nsource = '{source}'\npath = '/{path}'\nformat = 'pem'\n{more}\n"
            )
        };
        let text: String = files.iter().map(entry).collect();
        let layers = Layers::parse(vec![Source { name: "test".into(), text }], "/srv".into()).unwrap();
        let plan = resolve(&layers, &|_| None, None).unwrap();
        plan.files.iter().map(|file| file.path.display().to_string()).collect()
    }

    #[test]
    fn a_file_comes_after_those_that_it_needs() {
        let key = ("key", "/run/key", "certificate = 'certificate'");
        let certificate = ("certificate", "file:///bundle", "");
        let bundle = ("bundle", "/run/bundle", "");
        assert_eq!(paths(&[key, certificate, bundle]), ["/bundle", "/certificate", "/key"]);
        assert_eq!(paths(&[bundle, key, certificate]), ["/bundle", "/certificate", "/key"]);
        let by_path = ("key", "/run/key", "certificate = '/certificate'");
        assert_eq!(paths(&[by_path, certificate, bundle]), ["/bundle", "/certificate", "/key"]);
        // Each is read from the place of the other.
        assert_eq!(paths(&[("a", "/b", ""), ("b", "/a", "")]), ["/a", "/b"]);
    }
}
