//! The plan as it is supervised: with what only files tell.

use crate::config::plan::{Plan, ServicePlan};
use crate::exit;
use crate::runtime::fpm::StatusPage;
use crate::runtime::shell::Site;
use crate::runtime::{crontabs, drop_in};
use std::path::Path;

/// Whether [`prepare`] looks at any file: most containers of one service need no thread for it.
pub(super) fn reads_files(plan: &Plan) -> bool {
    let fpm = |service: &ServicePlan| {
        service.fpm.is_some() || service.ready.as_ref().is_some_and(|ready| ready.warm_up.is_some())
    };
    !plan.crontabs.is_empty() || plan.services.iter().any(fpm)
}

/// The plan with what only files tell, for a thread of its own: the entries of crontabs, and PHP-FPM with its drop-ins. And where
/// the pools tell of their status.
pub(super) fn prepare(mut site: Site) -> Result<(Plan, Vec<StatusPage>), u8> {
    crontabs::load(&mut site, std::env::var("TZ").ok().as_deref(), &Path::to_owned)?;
    if site.plan.services.is_empty() && site.plan.crons.is_empty() {
        tracing::error!("{}", nothing(&site.plan));
        return Err(exit::CONFIG);
    }
    let pages = drop_in::prepare(&mut site);
    Ok((site.plan, pages))
}

/// Why there is nothing to supervise.
pub fn nothing(plan: &Plan) -> String {
    let role = plan.role.as_ref().map(|role| format!(" for role \"{role}\"")).unwrap_or_default();
    format!(
        "cannot supervise: the configuration has no service and no cron entry{role}: add one, or choose a preset or role that has"
    )
}
