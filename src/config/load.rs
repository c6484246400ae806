//! From paths to a checked [`Config`].

use super::decode::{Ctx, Field, NAME_RULE, is_name, report_unknown};
use super::diagnostic::{ConfigErrors, Problem, SourceFile};
use super::options::Config;
use super::yaml::{Key, Kind, Node, Pos};
use super::{limits, queue, sinks, sources, top, whole, yaml};
use crate::process::before::BeforeQueue;
use crate::queue::QueueOptions;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Keys that unite over files.
const UNITED: [&str; 2] = ["sources", "sinks"];
/// All keys of the top level.
const KNOWN: [&str; 10] = ["data_dir", "agent", "limits", "sources", "queue", "sinks", "process", "tests", "admin", "shutdown"];

/// Reads, merges and checks a configuration.
///
/// Each path is a file or a folder, of which every `*.yaml` and `*.yml` is read in the order of names. `env` looks up
/// environment variables.
///
/// # Errors
/// All mistakes at once, sorted by file and line. Nothing is written or contacted in any case.
pub fn load(paths: &[PathBuf], env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
    load_with(Ctx::new(env), paths)
}

/// The same for the sake of its chains and their tests: there need be no source or sink, and those that are there may lack
/// variables and secrets.
pub(crate) fn load_for_tests(paths: &[PathBuf], env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
    load_with(Ctx { tests_only: true, ..Ctx::new(env) }, paths)
}

/// The configurations that `path` stands for: a folder with several files that are whole pipelines (with `sources` and
/// `sinks`) is as many configurations as it has files; else it is one.
pub(crate) fn pipelines(path: &Path) -> Vec<PathBuf> {
    let (ctx, mut none) = (Ctx::new(&|_| None), Vec::new());
    let files = expand_folders(&ctx, &mut none, &[path.to_path_buf()]);
    let whole = |path: &&PathBuf| {
        let text = read(path).ok().and_then(|bytes| yaml::text(0, bytes).ok());
        text.and_then(|text| yaml::parse(0, &text).0).is_some_and(|root| UNITED.iter().all(|key| has(&root, key)))
    };
    if path.is_dir() && files.iter().filter(whole).count() > 1 { files } else { vec![path.to_path_buf()] }
}

fn load_with(ctx: Ctx<'_>, paths: &[PathBuf]) -> Result<Config, ConfigErrors> {
    let (mut files, mut roots) = (Vec::new(), Vec::new());
    for path in expand_folders(&ctx, &mut files, paths) {
        let number = files.len() as u32;
        let read = read(&path).map_err(|error| unreadable(number, error.to_string())).and_then(|bytes| yaml::text(number, bytes));
        let (text, problem) = match read {
            Ok(text) => (text, None),
            Err(problem) => (String::new(), Some(problem)),
        };
        if let Some(problem) = problem {
            ctx.report(problem);
        } else {
            let (root, problems) = yaml::parse(number, &text);
            problems.into_iter().for_each(|problem| ctx.report(problem));
            roots.extend(root);
        }
        files.push(SourceFile { path, text });
    }
    if roots.len() < files.len() || files.is_empty() {
        // What stands in the files that cannot be parsed is not known, so nothing can be said of the whole.
        if ctx.problems.borrow().is_empty() {
            ctx.report(Problem::new(Pos::default(), "", "no configuration was given").expected("the path of a file or a folder"));
        }
        return Err(ConfigErrors::new(ctx.problems.into_inner(), &files));
    }
    let config = decode(&ctx, &files, &roots);
    let problems = ctx.problems.into_inner();
    if !problems.is_empty() {
        return Err(ConfigErrors::new(problems, &files));
    }
    let mut warnings = ctx.warnings.into_inner();
    warnings.sort_by_key(|(pos, _)| *pos);
    let place =
        |pos: Pos| files.get(pos.file as usize).map(|f| format!("{}:{}:{}", f.path.display(), pos.line, pos.col)).unwrap_or_default();
    Ok(Config { warnings: warnings.into_iter().map(|(pos, text)| format!("{}: {text}", place(pos))).collect(), ..config })
}

/// At most one byte more than a configuration may have: a device has no end.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(file: u32, why: String) -> Problem {
    Problem::new(Pos { file, ..Pos::default() }, "", format!("cannot read the configuration: {why}"))
        .expected("a YAML file, or a folder with `*.yaml` files")
}

/// Replaces folders by their files.
fn expand_folders(ctx: &Ctx<'_>, files: &mut Vec<SourceFile>, paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let is_yaml = |path: &Path| matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml"));
        let listed = std::fs::read_dir(path).and_then(|entries| {
            entries
                .map(|entry| entry.map(|e| e.path()))
                .filter(|path| path.as_ref().map_or(true, |p| is_yaml(p) && !p.is_dir()))
                .collect::<Result<Vec<_>, _>>()
        });
        let problem = match listed {
            Ok(mut inside) if !inside.is_empty() => {
                inside.sort();
                found.extend(inside);
                continue;
            }
            Ok(_) => "the folder has no `*.yaml` or `*.yml` file".to_string(),
            Err(error) => format!("cannot list the folder: {error}"),
        };
        // The folder takes a number of its own, so that the mistake can name it.
        let pos = Pos { file: files.len() as u32, ..Pos::default() };
        ctx.report(Problem::new(pos, "", problem).expected("a YAML file, or a folder with `*.yaml` files"));
        files.push(SourceFile { path: path.clone(), text: String::new() });
    }
    found
}

/// A named entry of `sources:` or `sinks:`.
fn entries<'a>(ctx: &'a Ctx<'a>, files: &[SourceFile], kind: &str, parts: &[Field<'a>]) -> Vec<(&'a Key, Field<'a>)> {
    let mut found: Vec<(&'a Key, Field<'a>)> = Vec::new();
    let mut names: BTreeMap<&str, Pos> = BTreeMap::new();
    for map in parts.iter().filter_map(Field::map) {
        for (key, field) in map.fields() {
            // Names such as `token-service` must not make all of a component secret.
            let field = Field::new(ctx, kind, key, field.node, false).plain();
            if !is_name(&key.text) {
                let problem =
                    Problem::new(key.pos, &field.path, format!("`{}` cannot be the name of one of the {kind}", key.text.escape_debug()));
                ctx.report(problem.expected(NAME_RULE));
            } else if let Some(first) = names.insert(&key.text, key.pos) {
                ctx.report(
                    Problem::new(key.pos, &field.path, format!("`{}` is defined twice", field.path))
                        .note(place(files, first))
                        .help("rename or remove one of them"),
                );
            } else {
                found.push((key, field));
            }
        }
    }
    found
}

/// "it is defined first at …".
fn place(files: &[SourceFile], pos: Pos) -> String {
    let file = files.get(pos.file as usize).map(|f| f.path.display().to_string()).unwrap_or_default();
    format!("it is defined first at {file}:{}:{}", pos.line, pos.col)
}

/// Whether the map `root` has `key`.
fn has(root: &Node, key: &str) -> bool {
    matches!(&root.kind, Kind::Map(all) if all.iter().any(|(k, _)| k.text == key))
}

/// Decodes the united roots. What could not be decoded has its default here, and a mistake in `ctx`.
fn decode<'a>(ctx: &'a Ctx<'a>, own: &[SourceFile], roots: &'a [Node]) -> Config {
    let mut top: BTreeMap<&str, Vec<Field<'a>>> = BTreeMap::new();
    let mut misspelt: Vec<&str> = Vec::new();
    for root in roots {
        let all: &[(Key, Node)] = match &root.kind {
            Kind::Map(all) => all,
            Kind::Null => &[],
            Kind::Scalar { .. } | Kind::Seq(_) => {
                misspelt.extend(UNITED);
                ctx.report(
                    Problem::new(root.pos, "", format!("the file holds {}", root.what()))
                        .expected(format!("a map with: {}", KNOWN.join(", "))),
                );
                &[]
            }
        };
        for (key, node) in all {
            let name = KNOWN.iter().find(|name| **name == key.text).copied();
            let Some(name) = name.or_else(|| {
                let meant = report_unknown(ctx, "", key, &KNOWN)?;
                // What stands below is judged as what it was meant for, so that all mistakes are shown at once.
                let alone = !misspelt.contains(&meant) && !roots.iter().any(|root| has(root, meant));
                misspelt.push(meant);
                alone.then_some(meant)
            }) else {
                continue;
            };
            let fields = top.entry(name).or_default();
            if let Some(first) = fields.first()
                && !UNITED.contains(&name)
                && name != "tests"
            {
                let first = first.key_pos();
                ctx.report(
                    Problem::new(key.pos, name, format!("`{name}` stands in two files"))
                        .note(place(own, first))
                        .help("keep it in one of them; only `sources`, `sinks` and `tests` unite"),
                );
                continue;
            }
            fields.push(Field::new(ctx, "", key, node, false));
        }
    }
    let one = |name: &str| top.get(name).and_then(|fields| fields.first());
    let parts = |name: &str| top.get(name).map(Vec::as_slice).unwrap_or_default();
    let chains: super::process::Chains = entries(ctx, own, "process", parts("process"))
        .into_iter()
        .map(|(key, field)| (key.text.clone(), super::process::chain(&field)))
        .collect();
    let mut options =
        QueueOptions { dir: one("data_dir").and_then(top::data_dir).unwrap_or_else(|| top::DATA_DIR.into()), ..QueueOptions::default() };
    let limits = one("limits").map(|field| limits::limits(field, &mut options)).unwrap_or_default();
    if let Some(field) = one("queue") {
        queue::queue(field, &mut options, &limits);
    }
    let (agent_id, host_name) = one("agent").map(top::agent).unwrap_or_default();
    let sources: Vec<_> = entries(ctx, own, "sources", parts("sources"))
        .into_iter()
        .map(|(key, field)| (key.text.clone(), sources::source(ctx, &key.text, key.pos, &field, &chains)))
        .collect();
    let sinks: Vec<_> = entries(ctx, own, "sinks", parts("sinks"))
        .into_iter()
        .map(|(key, field)| (key.text.clone(), sinks::sink(ctx, &key.text, key.pos, &field, &chains)))
        .collect();
    let admin = one("admin").map_or_else(top::admin_default, top::admin);
    let drain = one("shutdown").and_then(top::shutdown).unwrap_or(top::DRAIN);
    // An entry under an impossible name is one mistake, not two.
    let refused = |name: &str, good: usize| good == 0 && parts(name).iter().filter_map(Field::map).any(|map| map.fields().next().is_some());
    misspelt.extend(
        [("sources", sources.len()), ("sinks", sinks.len())].into_iter().filter(|(name, good)| refused(name, *good)).map(|(name, _)| name),
    );
    if !ctx.tests_only {
        whole::check(ctx, &sources, &sinks, &options, &misspelt);
    }
    let subjects = super::examples::Subjects { chains: &chains, sinks: &sinks, sources: &sources, only: None };
    let tests = parts("tests").iter().flat_map(|field| super::examples::examples(field, &subjects, own)).collect();
    let host_name = host_name.unwrap_or_else(host_name_of_kernel);
    let named = |process: &mut Option<BeforeQueue>| {
        if let Some(before) = process {
            before.host_name.clone_from(&host_name);
        }
    };
    let (mut files, mut inputs) = (Vec::new(), Vec::new());
    for options in sources.into_iter().filter(|(_, c)| c.enabled).filter_map(|(_, c)| c.options) {
        match options {
            sources::SourceOptions::File(mut options) => {
                named(&mut options.process);
                files.push(options);
            }
            sources::SourceOptions::Push(mut options) => {
                named(&mut options.process);
                inputs.push(options);
            }
        }
    }
    Config {
        agent_id,
        host_name,
        limits,
        queue: options,
        sources: files,
        inputs,
        sinks: sinks.into_iter().filter(|(_, c)| c.enabled).filter_map(|(_, c)| c.options).collect(),
        process: chains.into_iter().filter_map(|(name, chain)| Some((name, chain?))).collect(),
        tests,
        admin,
        drain,
        warnings: Vec::new(),
    }
}

pub(crate) fn host_name_of_kernel() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
