//! The structure of the code, tested like its behaviour.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which modules a module may import, the lowest first: each imports only what stands above it in
/// this table.
///
/// `store` is the ground floor: handles, records, chunks. The verbs of its handles live in the
/// rooms that do them. `grid` names the aggregators and filters that a schema holds.
const LAYERS: [(&str, &[&str]); 30] = [
    ("error", &[]),
    ("parallel", &["error"]),
    ("calendar", &["error"]),
    ("crs", &[]),
    ("array", &["error"]),
    ("codec", &["array"]),
    ("kernel", &["array", "error"]),
    (
        "grid",
        &["array", "calendar", "codec", "crs", "error", "kernel"],
    ),
    ("kv", &["error"]),
    ("key", &["grid", "kv"]),
    (
        "store",
        &["array", "codec", "error", "grid", "kernel", "key", "kv"],
    ),
    ("dirty", &["error", "grid", "key", "kv", "store"]),
    ("events", &["error", "grid", "kernel", "key", "kv", "store"]),
    ("feed", &["error", "grid", "key", "kv", "store"]),
    (
        "aggregate",
        &[
            "codec", "dirty", "error", "events", "feed", "grid", "kernel", "key", "kv", "parallel",
            "store",
        ],
    ),
    ("ledger", &["error", "feed", "grid", "key", "kv", "store"]),
    ("open", &["aggregate", "error", "kv", "store"]),
    (
        "writer",
        &[
            "aggregate",
            "array",
            "dirty",
            "error",
            "events",
            "feed",
            "grid",
            "kernel",
            "key",
            "kv",
            "ledger",
            "parallel",
            "store",
        ],
    ),
    (
        "reader",
        &[
            "array", "codec", "dirty", "error", "events", "grid", "kernel", "key", "kv",
            "parallel", "store",
        ],
    ),
    (
        "statistics",
        &[
            "array", "dirty", "error", "events", "grid", "kernel", "key", "kv", "parallel",
            "reader", "store", "writer",
        ],
    ),
    (
        "copy",
        &[
            "array", "error", "events", "feed", "grid", "kernel", "key", "kv", "parallel",
            "reader", "store", "writer",
        ],
    ),
    (
        "verify",
        &[
            "aggregate",
            "codec",
            "copy",
            "dirty",
            "error",
            "events",
            "feed",
            "grid",
            "kernel",
            "key",
            "kv",
            "ledger",
            "parallel",
            "store",
        ],
    ),
    (
        "federation",
        &[
            "aggregate",
            "array",
            "dirty",
            "error",
            "events",
            "feed",
            "grid",
            "key",
            "kv",
            "open",
            "store",
            "verify",
            "writer",
        ],
    ),
    // Types that the crate exports, by the paths of their homes.
    (
        "adapter",
        &[
            "array", "calendar", "codec", "crs", "error", "feed", "grid", "kernel", "kv", "ledger",
            "reader", "store", "writer",
        ],
    ),
    (
        "wire",
        &[
            "adapter",
            "array",
            "calendar",
            "error",
            "feed",
            "grid",
            "kernel",
            "reader",
            "statistics",
            "store",
        ],
    ),
    (
        "server",
        &[
            "adapter",
            "array",
            "calendar",
            "codec",
            "crs",
            "error",
            "feed",
            "grid",
            "reader",
            "statistics",
            "store",
            "wire",
        ],
    ),
    ("fuzzing", &["adapter", "array", "codec", "key", "kv"]),
    // Prose.
    ("guide", &[]),
    ("reliability", &[]),
    ("format", &[]),
];

/// Handles whose verbs live in several modules: a module calls those only that are defined in it or
/// below.
const HANDLES: [&str; 5] = [
    "Store",
    "StoreOptions",
    "StoreSnapshot",
    "Grid",
    "ChunkReader",
];

const LINES_MAX: usize = 750;

/// Files outside of the codec, the seam and the adapters that may write little-endian numbers, with
/// the reason.
const LITTLE_ENDIAN: [(&str, &str); 1] = [(
    "src/bin/gridstone/bench.rs",
    "reads raw arrays of another program",
)];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_under(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Path below the root, and text, of every source file in these directories.
fn sources(directories: &[&str]) -> BTreeMap<String, String> {
    let mut files = Vec::new();
    directories
        .iter()
        .for_each(|directory| files_under(&root().join(directory), &mut files));
    assert!(!files.is_empty());
    let read = |path: PathBuf| {
        let name = path
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        (name, std::fs::read_to_string(path).unwrap())
    };
    files.into_iter().map(read).collect()
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.ends_with("tests.rs")
        || path.contains("/tests/")
        || path.ends_with("conformance.rs")
}

/// The files of the library. The command is a crate of its own, which sees nothing but what is
/// public.
fn library() -> BTreeMap<String, String> {
    let files = sources(&["src"]).into_iter();
    files
        .filter(|(path, _)| !is_test(path) && !path.starts_with("src/bin/"))
        .collect()
}

/// A source file up to its tests, without comments.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The module that a file belongs to.
fn module(path: &str) -> &str {
    let path = path.strip_prefix("src/").unwrap();
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The names right behind `crate::` in a text.
fn imports(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let word = |text: &str| {
            text.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>()
        };
        if let Some(group) = rest.strip_prefix('{') {
            let group = &group[..group.find("};").unwrap_or(group.len())];
            let mut depth = 0;
            for part in group.split_inclusive(['{', '}', ',']) {
                if depth == 0 {
                    names.insert(word(part.trim()));
                }
                depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
            }
        } else {
            names.insert(word(rest));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn modules_import_only_what_the_table_of_layers_allows() {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.into_iter().collect();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for (path, text) in library().iter().filter(|(path, _)| *path != "src/lib.rs") {
        let module = module(path);
        let allowed = layers
            .get(module)
            .unwrap_or_else(|| panic!("{path}: module `{module}` is not in the table of layers"));
        for name in imports(&code(text)) {
            // What the crate exports is open to the edges, and to nobody else.
            let exported = name.starts_with(char::is_uppercase);
            let edge = ["adapter", "server", "fuzzing"].contains(&module);
            let own = name == module || ["Error", "ErrorKind", "Result"].contains(&name.as_str());
            assert!(
                own || exported && edge || allowed.contains(&name.as_str()),
                "{path} imports crate::{name}"
            );
            used.insert((module.to_owned(), name));
        }
    }
    assert!(
        used.contains(&("writer".to_owned(), "dirty".to_owned())),
        "imports are seen at all"
    );
}

#[test]
fn each_module_of_the_table_imports_only_what_stands_above_it() {
    for (number, (module, imports)) in LAYERS.iter().enumerate() {
        let lower: Vec<&str> = LAYERS[..number].iter().map(|(module, _)| *module).collect();
        assert!(
            !lower.contains(module),
            "{module} stands twice in the table"
        );
        let climbs: Vec<&&str> = imports
            .iter()
            .filter(|name| !lower.contains(name))
            .collect();
        assert!(
            climbs.is_empty(),
            "{module} may import {climbs:?}, which do not stand above it in the table"
        );
    }
}

/// The methods that a file gives to one of [`HANDLES`].
fn verbs(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in code.lines() {
        if let Some(rest) = line.strip_prefix("impl") {
            let of = rest
                .split_once("> ")
                .filter(|_| rest.starts_with('<'))
                .map_or(rest, |(_, of)| of)
                .trim();
            let word: String = of.chars().take_while(|c| c.is_alphanumeric()).collect();
            inside = HANDLES.contains(&word.as_str()) && !line.contains(" for ");
        } else if line == "}" {
            inside = false;
        }
        let method = line.strip_prefix("    ").and_then(|line| {
            line.trim_start_matches("pub(crate) ")
                .trim_start_matches("pub ")
                .strip_prefix("fn ")
        });
        if let Some(method) = method.filter(|_| inside) {
            found.push(
                method
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    found
}

/// The names of all methods that a file calls.
fn calls(code: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        rest.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let called = |(at, _): (usize, &str)| {
        let name = name(&code[at + 1..]);
        code[at + 1 + name.len()..].starts_with('(').then_some(name)
    };
    code.match_indices('.')
        .filter_map(called)
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn a_verb_of_a_handle_is_called_only_above_where_it_is_defined() {
    let files = library();
    let files: Vec<(&String, String)> = files
        .iter()
        .map(|(path, text)| (path, code(text)))
        .collect();
    let mut homes: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut defined: BTreeMap<String, usize> = BTreeMap::new();
    for (path, code) in &files {
        for verb in verbs(code) {
            homes.entry(verb).or_default().insert(module(path));
        }
        for (at, _) in code.match_indices("fn ") {
            let name: String = code[at + 3..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            *defined.entry(name).or_default() += 1;
        }
    }
    // A name that other types have too, the standard library's among them, says nothing of whose it
    // is.
    let common = [
        "clear", "get", "put", "read", "replace", "wait", "series", "is", "delete",
    ];
    homes.retain(|name, homes| {
        homes.len() == 1 && defined[name] == 1 && !common.contains(&name.as_str())
    });
    assert!(
        homes.contains_key("aggregate_step") && homes.contains_key("chunk_reader"),
        "verbs are seen at all"
    );
    let layers: BTreeMap<&str, &[&str]> = LAYERS.into_iter().collect();
    for (path, code) in &files {
        let own = module(path);
        for called in calls(code) {
            let Some(home) = homes.get(&called).and_then(|homes| homes.first()) else {
                continue;
            };
            let edge = ["adapter", "wire", "server", "fuzzing"].contains(&own);
            let below = *home == own
                || edge
                || layers
                    .get(own)
                    .is_some_and(|allowed| allowed.contains(home));
            assert!(below, "{path} calls `{called}`, which {home} defines");
        }
    }
}

/// Where a text stands in code, tests included.
fn named(what: &[&str]) -> Vec<String> {
    let files = sources(&["src"]);
    let hit = |text: &str| {
        text.lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .any(|line| what.iter().any(|what| line.contains(what)))
    };
    files
        .into_iter()
        .filter(|(_, text)| hit(text))
        .map(|(path, _)| path)
        .collect()
}

#[test]
fn rocksdb_is_named_in_one_file() {
    let files = named(&[&["rocks", "db::"].concat()]);
    assert!(
        files.iter().all(|path| path.starts_with("src/kv/rocks")),
        "{files:?}"
    );
}

#[test]
fn what_is_unsafe_of_gdal_is_in_one_file() {
    let files = named(&["gdal_sys::"]);
    assert_eq!(files, ["src/adapter/gdal/ffi.rs"]);
}

/// Files outside of the keys that may write big-endian numbers, with the reason.
const BIG_ENDIAN: [(&str, &str); 1] = [(
    "src/adapter/netcdf/export/classic.rs",
    "the classic format of NetCDF is big-endian",
)];

#[test]
fn object_storage_is_named_in_one_folder() {
    let files = named(&["slatedb::", "object_store::"]);
    assert!(
        !files.is_empty() && files.iter().all(|path| path.starts_with("src/kv/slate/")),
        "{files:?}"
    );
}

#[test]
fn big_endian_numbers_are_at_home_in_the_keys() {
    let files: Vec<String> = named(&["to_be_bytes", "from_be_bytes"])
        .into_iter()
        .filter(|path| !is_test(path) && BIG_ENDIAN.iter().all(|(other, _)| other != path))
        .collect();
    assert!(
        !files.is_empty() && files.iter().all(|path| path.starts_with("src/key/")),
        "{files:?}"
    );
}

#[test]
fn little_endian_numbers_are_at_home_in_the_codec_the_seam_and_the_adapters() {
    for path in named(&["to_le_bytes", "from_le_bytes"])
        .into_iter()
        .filter(|path| !is_test(path))
    {
        let home = ["src/codec/", "src/kv/preflight/", "src/adapter/"]
            .iter()
            .any(|home| path.starts_with(home));
        assert!(
            home || LITTLE_ENDIAN.iter().any(|(known, _)| *known == path),
            "{path}"
        );
    }
}

#[test]
fn files_are_of_at_most_750_lines_without_tests() {
    for (path, text) in sources(&["src"]).iter().filter(|(path, _)| !is_test(path)) {
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        let lines = text[..end].lines().count();
        assert!(
            lines <= LINES_MAX,
            "{path} has {lines} lines, more than {LINES_MAX}"
        );
    }
}

/// The invariants that a test's name begins with: `i5_i7_...` carries 5 and 7.
fn carried(line: &str) -> Vec<u32> {
    let Some(name) = line.trim_start().strip_prefix("fn ") else {
        return Vec::new();
    };
    let number = |part: &str| {
        part.strip_prefix('i')
            .and_then(|number| number.parse().ok())
    };
    name.split('_').map_while(number).collect()
}

#[test]
fn every_invariant_has_a_test_that_carries_its_number() {
    let files = sources(&["src", "tests"]);
    let numbers: BTreeSet<u32> = files
        .values()
        .flat_map(|text| text.lines().flat_map(carried))
        .collect();
    let missing: Vec<u32> = (1..=10)
        .filter(|number| !numbers.contains(number))
        .collect();
    assert_eq!(missing, [0_u32; 0], "invariants without a test");
    assert!(
        numbers.iter().all(|number| (1..=10).contains(number)),
        "{numbers:?}: there are ten invariants"
    );
}

/// The page on the architecture.
fn architecture() -> String {
    std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

#[test]
fn each_invariant_has_its_row_in_the_architecture_with_tests_that_carry_its_number() {
    let page = architecture();
    let section = page
        .split("## Invariants")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .unwrap();
    let files = sources(&["src", "tests"]);
    for number in 1..=10 {
        let row = section
            .lines()
            .find(|line| line.starts_with(&format!("| {number} |")))
            .unwrap_or_else(|| panic!("no row of {number}"));
        let tests: Vec<&str> = row
            .rsplit('|')
            .nth(1)
            .unwrap()
            .split('`')
            .skip(1)
            .step_by(2)
            .collect();
        assert!(!tests.is_empty(), "invariant {number} names no tests");
        for place in tests {
            let carries = |text: &String| text.lines().any(|line| carried(line).contains(&number));
            let found = files
                .iter()
                .any(|(path, text)| path.starts_with(place) && carries(text));
            assert!(found, "{place} has no test that carries invariant {number}");
        }
    }
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
        .count();
    assert_eq!(rows, 10);
}

#[test]
fn each_folder_and_module_has_its_line_in_the_architecture_and_each_line_is_of_something() {
    let page = architecture();
    let named: BTreeSet<&str> = page
        .split("## Rooms")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("src"))
        .unwrap()
        .chain(std::fs::read_dir(root().join("tests")).unwrap())
    {
        let path = entry.unwrap().path();
        let name = path
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        there.insert(if path.is_dir() {
            format!("{name}/")
        } else {
            name
        });
    }
    there.retain(|name| !is_test(name) || name.ends_with('/'));
    there.retain(|name| !["src/lib.rs", "tests/proptest-regressions/"].contains(&name.as_str()));
    let missing: Vec<&String> = there
        .iter()
        .filter(|name| !named.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "{missing:?} have no line in ARCHITECTURE.md"
    );
    for name in named {
        assert!(
            root().join(name).exists(),
            "ARCHITECTURE.md tells of {name}, which is not there"
        );
    }
    let layers = page
        .split("```text")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let of = |module: &str| {
        layers
            .lines()
            .position(|line| line.split_whitespace().any(|word| word == module))
    };
    for (module, imports) in LAYERS
        .iter()
        .filter(|(module, _)| !["guide", "reliability", "format"].contains(module))
    {
        let own =
            of(module).unwrap_or_else(|| panic!("`{module}` is not in the picture of layers"));
        for import in *imports {
            assert!(
                of(import) > Some(own),
                "the picture has `{import}` not below `{module}`, which imports it"
            );
        }
    }
}

/// Whether a statement, on one line, checks nothing, or nothing of a value but that it exists.
fn checks_nothing(statement: &str) -> bool {
    let bare = statement.starts_with(&["matches", "!("].concat()) && statement.ends_with(");");
    let result = statement.starts_with("assert!(")
        && [".is_ok());", ".is_err());"]
            .iter()
            .any(|end| statement.ends_with(end));
    bare || result
        && !["&&", "||", "=="]
            .iter()
            .any(|operator| statement.contains(operator))
}

#[test]
fn no_statement_of_a_test_checks_nothing() {
    for (path, text) in sources(&["src", "tests"]) {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (number, _) in lines.iter().enumerate() {
            // What stands behind these is a part of a statement.
            if number > 0 && lines[number - 1].ends_with(['=', '(', ',']) {
                continue;
            }
            let rest = &lines[number..];
            let end = rest
                .iter()
                .position(|line| line.ends_with(';') || *line == "}")
                .unwrap_or(0);
            let statement = rest[..=end].concat();
            assert!(
                !checks_nothing(&statement),
                "{path}:{}: `{statement}` checks nothing, or hides what went wrong",
                number + 1
            );
        }
    }
}

#[test]
fn nothing_is_left_to_be_done_in_a_comment() {
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X"].concat(),
    ];
    for (path, text) in sources(&["src", "tests"]) {
        for (number, line) in text.lines().enumerate() {
            assert!(
                !marks.iter().any(|mark| line.contains(mark.as_str())),
                "{path}:{}: {line}",
                number + 1
            );
        }
    }
}

#[test]
fn each_module_of_the_suite_is_compiled() {
    let main = std::fs::read_to_string(root().join("tests/suite/main.rs")).unwrap();
    for path in sources(&["tests/suite"]).keys() {
        let name = path
            .strip_prefix("tests/suite/")
            .unwrap()
            .trim_end_matches(".rs");
        assert!(
            name == "main" || name.contains('/') || main.contains(&format!("mod {name};")),
            "{path} is not in main.rs"
        );
    }
}

#[test]
fn the_checks_of_this_file_can_fail() {
    assert_eq!(
        imports("use crate::{Array, grid::{A, B}, kv};\ncrate::error::x")
            .into_iter()
            .collect::<Vec<_>>(),
        ["Array", "error", "grid", "kv"]
    );
    assert!(checks_nothing("assert!(x.is_ok());") && !checks_nothing("assert!(y == x.is_ok());"));
    assert_eq!(carried("    fn i5_i10_marks() {"), [5, 10]);
    assert_eq!(carried("fn in_memory() {"), [0_u32; 0]);
    assert_eq!(
        code("// crate::x\nuse a;\n#[cfg(test)]\nmod tests {\n crate::y"),
        "use a;\n"
    );
}
