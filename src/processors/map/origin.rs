//! The columns that several tables share: which function, in which language and version, where.

use std::borrow::Cow;

use super::lookup::{Attr, Attrs, Lookup, Shared, trimmed};
use super::preset;

const ARN_REGION: usize = 3;
const ARN_NAME: usize = 6;

/// How Azure's Functions host names its platform; `service.version` there is the host's.
const AZURE_PLATFORMS: [&str; 2] = ["azure_functions", "azure.functions"];

/// What runtimes of JavaScript are called, in any case.
const JAVASCRIPT: [&str; 6] = ["nodejs", "js", "webjs", "edge", "javascript", "deno"];

impl<'r> Lookup<'_, 'r, '_> {
    /// The columns as the attributes in view say them; see [`Shared`].
    pub fn said_of_columns(&self) -> Shared<'r> {
        Shared {
            function_id: self.said_function_id(),
            language: self.said_language(),
            version: self.said_version(),
            region: self.said_region(),
        }
    }

    /// The function's name; `otherwise` is the name of the invocation's span, the last source.
    pub fn function_id(&self, otherwise: Option<&'r str>) -> Option<Cow<'r, str>> {
        const SOURCES: Attrs = Attrs::of(&[&preset::FUNCTION, &preset::RESOURCE_ID, &preset::SERVICE]);
        let said = match self.shared(SOURCES) {
            Some(shared) => shared.function_id.clone(),
            None => self.said_function_id(),
        };
        said.or_else(|| otherwise.and_then(|name| trimmed(Cow::Borrowed(name))))
    }

    fn said_function_id(&self) -> Option<Cow<'r, str>> {
        self.id(&preset::FUNCTION)
            .or_else(|| self.part(preset::RESOURCE_ID, function_of_resource))
            .or_else(|| self.id(&preset::SERVICE))
    }

    /// Runtimes of JavaScript are one language; Deno's SDK calls itself `deno-rust`, so its runtime is asked.
    pub fn language(&self) -> Option<Cow<'r, str>> {
        const SOURCES: Attrs = Attrs::of(&[&preset::SDK_LANGUAGE, &preset::RUNTIME]);
        match self.shared(SOURCES) {
            Some(shared) => shared.language.clone(),
            None => self.said_language(),
        }
    }

    fn said_language(&self) -> Option<Cow<'r, str>> {
        let sdk = self.id(&preset::SDK_LANGUAGE);
        let language = match sdk {
            Some(sdk) if sdk == "deno-rust" => self.id(&preset::RUNTIME).unwrap_or(Cow::Borrowed("deno")),
            Some(sdk) => sdk,
            None => self.id(&preset::RUNTIME)?,
        };
        Some(language_of(language))
    }

    pub fn version(&self) -> Option<Cow<'r, str>> {
        const SOURCES: Attrs = Attrs::of(&[&preset::VERSION, &[Attr::CloudPlatform, Attr::CloudProvider]]);
        match self.shared(SOURCES) {
            Some(shared) => shared.version.clone(),
            None => self.said_version(),
        }
    }

    fn said_version(&self) -> Option<Cow<'r, str>> {
        if self.on_azure() { self.id(&[Attr::FaasVersion]) } else { self.id(&preset::VERSION) }
    }

    /// The version that a deployment brings: without the ids of deployments.
    pub fn deployed_version(&self) -> Option<Cow<'r, str>> {
        if self.on_azure() {
            return self.id(&[Attr::FaasVersion]);
        }
        self.id(&preset::DEPLOYED_VERSION)
    }

    fn on_azure(&self) -> bool {
        match self.id(&[Attr::CloudPlatform]) {
            Some(platform) => AZURE_PLATFORMS.contains(&platform.as_ref()),
            None => self.is(Attr::CloudProvider, "azure"),
        }
    }

    /// Where it ran. `earth` is what Workers SDKs say for anywhere.
    pub fn region(&self) -> Option<Cow<'r, str>> {
        const SOURCES: Attrs =
            Attrs::of(&[&preset::REGION, &preset::INVOKED_REGION, &preset::RESOURCE_ID, &preset::VERCEL_REGION]);
        match self.shared(SOURCES) {
            Some(shared) => shared.region.clone(),
            None => self.said_region(),
        }
    }

    fn said_region(&self) -> Option<Cow<'r, str>> {
        let region = |attr| self.read(attr, |value| self.id_in(value).filter(|region| region != "earth"));
        preset::REGION
            .into_iter()
            .find_map(region)
            .or_else(|| self.id(&preset::INVOKED_REGION))
            .or_else(|| self.part(preset::RESOURCE_ID, |id| arn_part(id, ARN_REGION)))
            .or_else(|| self.id(&preset::VERCEL_REGION))
    }

    /// The first part that is found in an id.
    fn part(
        &self,
        sources: impl IntoIterator<Item = Attr>,
        part: impl Fn(Cow<'r, str>) -> Option<Cow<'r, str>>,
    ) -> Option<Cow<'r, str>> {
        sources.into_iter().find_map(|attr| self.read(attr, |value| part(self.id_in(value)?)))
    }

    /// The data centre that took the request. A Cloudflare ray id ends in it: `8f2b1c9d0e3a4b5c-LHR`.
    pub fn colo(&self) -> Option<Cow<'r, str>> {
        self.id(&preset::COLO)
            .or_else(|| preset::RAY.into_iter().find_map(|attr| self.read(attr, |value| colo_of_ray(self.first_text_in(value)?))))
            .or_else(|| self.id(&preset::EDGE_REGION))
    }
}

/// The language of a runtime.
pub fn language_of(runtime: Cow<'_, str>) -> Cow<'_, str> {
    let is_javascript = JAVASCRIPT.iter().any(|name| runtime.eq_ignore_ascii_case(name));
    if is_javascript { Cow::Borrowed("javascript") } else { runtime }
}

/// The name in an ARN, else the id itself.
fn function_of_resource(id: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if id.starts_with("arn:") { arn_part(id, ARN_NAME) } else { Some(id) }
}

/// One part of an ARN (`arn:aws:lambda:eu-west-1:123456789012:function:name:alias`), counted from 0.
fn arn_part(arn: Cow<'_, str>, part: usize) -> Option<Cow<'_, str>> {
    if !arn.starts_with("arn:") {
        return None;
    }
    let part_of = |arn: &str| -> Option<std::ops::Range<usize>> {
        let text = arn.split(':').nth(part).filter(|text| !text.is_empty())?;
        let start = text.as_ptr() as usize - arn.as_ptr() as usize;
        Some(start..start + text.len())
    };
    let range = part_of(&arn)?;
    Some(match arn {
        Cow::Borrowed(arn) => Cow::Borrowed(&arn[range]),
        Cow::Owned(arn) => Cow::Owned(arn[range].to_owned()),
    })
}

/// The three capital letters after the 16 hexadecimal digits of a ray id.
fn colo_of_ray(ray: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let ([digits @ .., b'-', _, _, _], 20) = (ray.as_bytes(), ray.len()) else { return None };
    let colo = &ray.as_bytes()[17..];
    if !digits.iter().all(u8::is_ascii_hexdigit) || !colo.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    Some(match ray {
        Cow::Borrowed(ray) => Cow::Borrowed(&ray[17..]),
        Cow::Owned(ray) => Cow::Owned(ray[17..].to_owned()),
    })
}
