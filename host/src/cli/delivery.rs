//! From the configuration's `audit` and `paging` to the channels that the shipper serves.

use crate::ambient::Ambient;
use crate::config::{Config, Graylog, Require};
use crate::respond::Destinations;
use crate::ship::acceptance::Acceptance;
use crate::ship::access::Access;
use crate::ship::http::HttpError;
use crate::ship::read_back::Search;
use crate::ship::{Channel, alertmanager, graylog, pagerduty, webhook};

/// The channels, and what the pipeline has to know of them.
///
/// # Errors
/// When a CA's file cannot be used: with it the records would go nowhere, and nobody would see why.
pub fn channels(
    config: &Config,
    cluster_name: &str,
    ambient: &Ambient,
) -> Result<(Vec<Box<dyn Channel>>, Destinations), HttpError> {
    let mut all: Vec<Box<dyn Channel>> = Vec::new();
    let mut destinations = Destinations { routes: config.paging.routes.clone(), ..Destinations::default() };
    if let Some(settings) = &config.audit.graylog {
        let mut channel = graylog_channel(settings, ambient)?;
        if config.audit.require == Require::Graylog {
            let acceptance = Acceptance::default();
            destinations.required = Some(acceptance.clone());
            channel = channel.announcing(acceptance);
        }
        all.push(Box::new(channel));
        destinations.records.push(graylog::DESTINATION.to_owned());
    }
    if let Some(settings) = &config.paging.pagerduty {
        all.push(Box::new(pagerduty::PagerDuty::new(&settings.url, &settings.routing_key_file, cluster_name)));
        destinations.pages.push(pagerduty::DESTINATION.to_owned());
    }
    if let Some(url) = &config.paging.alertmanager_url {
        all.push(Box::new(alertmanager::Alertmanager::new(url)));
        destinations.pages.push(alertmanager::DESTINATION.to_owned());
    }
    if let Some(settings) = &config.paging.webhook {
        let access = Access { basic: None, headers_file: settings.headers_file.clone() };
        all.push(Box::new(webhook::Webhook::new(&settings.url, access, cluster_name)));
        destinations.pages.push(webhook::DESTINATION.to_owned());
    }
    Ok((all, destinations))
}

fn graylog_channel(settings: &Graylog, ambient: &Ambient) -> Result<graylog::Graylog, HttpError> {
    let replica = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
    let basic = settings.login.as_ref().map(|login| (login.username.clone(), login.password_file.clone()));
    let access = Access { basic, headers_file: settings.headers_file.clone() };
    let ca_file = settings.ca_file.as_deref();
    let channel = graylog::Graylog::new(&settings.url, &replica).with_access(access).connected(ca_file, ambient)?;
    let Some(confirm) = &settings.confirm else { return Ok(channel) };
    let search = Search::new(&confirm.url, &confirm.token_file);
    Ok(channel.confirmed_by(match ca_file {
        Some(file) => search.trusting(file)?,
        None => search,
    }))
}
