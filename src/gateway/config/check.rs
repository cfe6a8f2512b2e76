//! What must hold between the sections: ids are defined, tables have one writer, columns one type, rows a way.

use super::{Config, ExporterConfig, ExtensionConfig, ReceiverConfig, maps_to, signal_of};
use crate::config::document::PipelineRefs;
use crate::config::error::did_you_mean;
use crate::config::{Component as _, ComponentId, ConfigError, Place, Placed};
use crate::processors::ProcessorConfig;
use crate::tables::Additions;

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let pipelines = &config.service.pipelines;
    if pipelines.is_empty() {
        return Err(ConfigError::at(&pipelines.place, "service.pipelines is empty, expected traces, logs or metrics"));
    }
    check_extensions(config)?;
    check_authenticators(config)?;
    check_destinations(config)?;
    check_additions(config)?;
    pipelines.iter().try_for_each(|(id, pipeline)| check_pipeline(config, id, pipeline))
}

/// One extension of a kind, because each but `bearertokenauth` is one thing of the process; and only what exists can be listed.
fn check_extensions(config: &Config) -> Result<(), ConfigError> {
    let mut seen: Vec<(&ComponentId, &Place)> = Vec::new();
    for (id, place) in config.extensions.ids().zip(config.extensions.places()) {
        let many = id.kind() == "bearertokenauth";
        if let Some((first, at)) = seen.iter().find(|(other, _)| other.kind() == id.kind() && !many) {
            let message =
                format!("extension `{id}` is a second `{}`, the first is `{first}` at {at}; keep one of them", id.kind());
            return Err(ConfigError::at(place, message));
        }
        seen.push((id, place));
    }
    for listed in config.service.extensions.iter().flatten() {
        // Those that every gateway has need no settings.
        let implied = super::ExtensionConfig::KINDS.contains(&listed.to_string().as_str());
        if !implied && config.extensions.get(listed).is_none() {
            return Err(undefined("service.extensions", "extension", listed, config.extensions.ids()));
        }
    }
    Ok(())
}

/// Tokens that say something, and `auth` that names an extension which is on.
fn check_authenticators(config: &Config) -> Result<(), ConfigError> {
    for ((id, extension), place) in config.extensions.iter().zip(config.extensions.places()) {
        if let ExtensionConfig::BearerTokenAuth(settings) = extension
            && let Some(why) = settings.contradiction()
        {
            return Err(ConfigError::at(place, format!("extension `{id}`: {why}")));
        }
    }
    let on = super::Extensions::of(config).bearertokenauth;
    for ((id, ReceiverConfig::Otlp(otlp)), place) in config.receivers.iter().zip(config.receivers.places()) {
        let grpc = otlp.protocols.grpc.as_ref().and_then(|grpc| grpc.auth.as_ref());
        let http = otlp.protocols.http.as_ref().and_then(|http| http.auth.as_ref());
        for auth in [grpc, http].into_iter().flatten() {
            let listed = config.service.extensions.as_ref();
            let listed = listed.is_none_or(|list| list.iter().any(|id| id.to_string() == auth.authenticator));
            if !on.contains_key(&auth.authenticator) {
                let message = format!(
                    "receiver `{id}`: `auth.authenticator` names `{}`, expected an extension `bearertokenauth` or `bearertokenauth/name`",
                    auth.authenticator
                );
                return Err(ConfigError::at(place, message));
            }
            if !listed {
                let message = format!("receiver `{id}`: `{}` is not listed in `service.extensions`", auth.authenticator);
                return Err(ConfigError::at(place, message));
            }
        }
    }
    Ok(())
}

/// Two exporters that write the same tables would take each other for a stranger.
fn check_destinations(config: &Config) -> Result<(), ConfigError> {
    let mut seen: Vec<(String, &ComponentId)> = Vec::new();
    for ((id, exporter), place) in config.exporters.iter().zip(config.exporters.places()) {
        let ExporterConfig::Iceberg(settings) = exporter else { continue };
        let max_age = settings.commit.max_age;
        if let Some(after) = settings.dead_letter.after.filter(|after| after.get() <= max_age.get()) {
            let message = format!(
                "`dead_letter.after` of exporter `{id}` is {after}, expected longer than `commit.max_age`, which is {max_age}: rows that wait \
                 for their commit are not stuck"
            );
            return Err(ConfigError::at(place, message));
        }
        if let Some(message) = settings.contradiction() {
            return Err(ConfigError::at(place, message));
        }
        let tables = settings.destination();
        if let Some((_, other)) = seen.iter().find(|(have, _)| *have == tables) {
            let message =
                format!("exporters `{other}` and `{id}` write the same tables, {tables}; give one of them another `namespace`");
            return Err(ConfigError::at(place, message));
        }
        seen.push((tables, id));
    }
    Ok(())
}

/// An added column has one type in an exporter's tables, whichever `map` fills it.
fn check_additions(config: &Config) -> Result<(), ConfigError> {
    for exporter in config.exporters.ids() {
        let mut all = Additions::default();
        let mut before: Vec<&ComponentId> = Vec::new();
        for (id, map) in maps_to(config, exporter) {
            if let Err(clash) = all.join(&map.additions()) {
                let others: Vec<String> = before.iter().map(|other| format!("`{other}`")).collect();
                let message = format!(
                    "exporter `{exporter}` is fed by {} and `{}`, and {clash}, expected one type: change one of them",
                    others.join(", "),
                    id.value
                );
                return Err(ConfigError::at(&id.place, message));
            }
            before.push(&id.value);
        }
    }
    Ok(())
}

fn check_pipeline(config: &Config, id: &ComponentId, pipeline: &PipelineRefs) -> Result<(), ConfigError> {
    // Where the pipeline stands: at the first component it names.
    let first = pipeline.receivers.first().or(pipeline.exporters.first());
    let place = first.map_or(&config.service.pipelines.place, |reference| &reference.place);
    if signal_of(id).is_none() {
        let message = format!("pipeline `{id}` is of no signal, expected traces, logs or metrics, with an optional /name");
        return Err(ConfigError::at(place, message));
    }
    let defined: [(_, Vec<_>, &[_]); 3] = [
        ("receiver", config.receivers.ids().collect(), &pipeline.receivers),
        ("processor", config.processors.ids().collect(), &pipeline.processors),
        ("exporter", config.exporters.ids().collect(), &pipeline.exporters),
    ];
    for (what, ids, references) in defined {
        if references.is_empty() && what != "processor" {
            return Err(ConfigError::at(place, format!("pipeline `{id}` has no {what}")));
        }
        for (at, reference) in references.iter().enumerate() {
            if !ids.contains(&&reference.value) {
                return Err(undefined(&format!("pipeline `{id}`"), what, reference, ids.iter().copied()));
            }
            if what != "processor" && references[..at].iter().any(|other| other.value == reference.value) {
                let message = format!("pipeline `{id}` names {what} `{}` twice; keep one of them", reference.value);
                return Err(ConfigError::at(&reference.place, message));
            }
        }
    }
    check_rows(config, id, pipeline)?;
    check_routes(config, id, pipeline)
}

fn undefined<'a>(
    who: &str,
    what: &str,
    wanted: &Placed<ComponentId>,
    defined: impl Iterator<Item = &'a ComponentId>,
) -> ConfigError {
    let names: Vec<String> = defined.map(ToString::to_string).collect();
    let hint = did_you_mean(&wanted.value.to_string(), &names);
    let known = if names.is_empty() { "none is".to_owned() } else { names.join(", ") };
    let message = format!("{who} names {what} `{}`, which is not defined under {what}s: {known}{hint}", wanted.value);
    ConfigError::at(&wanted.place, message)
}

/// Rows are made by `map` only, so a pipeline without one would lose everything on its way to the tables.
fn check_rows(config: &Config, id: &ComponentId, pipeline: &PipelineRefs) -> Result<(), ConfigError> {
    let maps = pipeline.processors.iter().any(|step| matches!(config.processors.get(step), Some(ProcessorConfig::Map(_))));
    let iceberg = |reference: &&Placed<ComponentId>| matches!(config.exporters.get(reference), Some(ExporterConfig::Iceberg(_)));
    match pipeline.exporters.iter().find(iceberg) {
        Some(exporter) if !maps => {
            let message = format!("pipeline `{id}` has no `map`, so exporter `{}` would get no rows from it", exporter.value);
            Err(ConfigError::at(&exporter.place, message))
        }
        _ => Ok(()),
    }
}

/// A route leads to exporters of its own pipeline.
fn check_routes(config: &Config, id: &ComponentId, pipeline: &PipelineRefs) -> Result<(), ConfigError> {
    for step in &pipeline.processors {
        let Some(ProcessorConfig::Route(route)) = config.processors.get(step) else { continue };
        let stray = route.targets().find(|target| !pipeline.exporters.iter().any(|exporter| exporter.value == target.value));
        if let Some(target) = stray {
            let names: Vec<String> = pipeline.exporters.iter().map(|exporter| exporter.value.to_string()).collect();
            let message = format!(
                "`{}` leads to exporter `{}`, which pipeline `{id}` does not have: expected one of {}{}",
                step.value,
                target.value,
                names.join(", "),
                did_you_mean(&target.value.to_string(), &names)
            );
            return Err(ConfigError::at(&target.place, message));
        }
    }
    Ok(())
}
