//! The vectors: exchanges with a daemon, one JSON file each. tests/vectors/README.md has the
//! format.

use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One exchange.
#[derive(Debug)]
pub struct Vector {
    pub name: String,
    /// The daemon's argv.
    pub daemon: Vec<String>,
    /// Variables to set or, without a value, to unset.
    pub env: Vec<(String, Option<String>)>,
    /// The folder with passwd, group and shadow.
    pub input: PathBuf,
    pub needs_root: bool,
    /// What a fake nslcd answers to which requests; empty: there is none.
    pub nslcd: Vec<(Vec<u8>, Vec<u8>)>,
    pub steps: Vec<Step>,
    pub then: Then,
    pub exit: Option<i32>,
}

/// What is sent and what must come back.
#[derive(Debug)]
pub struct Step {
    /// Wait so long first.
    pub sleep: Duration,
    pub send: Vec<u8>,
    /// Shut the sending side down after the bytes.
    pub eof: bool,
    /// `None` stands for any byte but 00.
    pub expect: Vec<Option<u8>>,
}

/// What follows the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Closes,
    StaysOpen,
}

/// The paths of the vectors in a folder, sorted.
pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no vectors", folder.display());
    files
}

impl Vector {
    /// Reads a file. What it does not understand is an error, lest a check be left out unnoticed.
    pub fn read(path: &Path) -> Result<Vector, String> {
        let text = fs::read(path).map_err(|e| e.to_string())?;
        let json: Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        let object = json.as_object().ok_or("not an object")?;
        only(
            object,
            &["name", "note", "daemon", "env", "input", "needs", "nslcd", "steps", "then", "exit"],
        )?;
        Ok(Vector {
            name: text_of(object, "name")?.to_owned(),
            daemon: list(object, "daemon")?
                .iter()
                .map(|word| word.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or("daemon: not a list of words")?,
            env: environment(object)?,
            input: input_folder(path, object)?,
            needs_root: match object.get("needs").map(Value::as_str) {
                None => false,
                Some(Some("root")) => true,
                Some(_) => return Err("needs: not root".into()),
            },
            nslcd: match object.get("nslcd") {
                None => Vec::new(),
                Some(_) => list(object, "nslcd")?.iter().map(exchange).collect::<Result<_, _>>()?,
            },
            steps: list(object, "steps")?.iter().map(step).collect::<Result<_, _>>()?,
            then: match text_of(object, "then")? {
                "closes" => Then::Closes,
                "stays open" => Then::StaysOpen,
                other => return Err(format!("then: {other}")),
            },
            exit: match object.get("exit") {
                None => None,
                Some(code) => Some(
                    code.as_i64()
                        .and_then(|code| i32::try_from(code).ok())
                        .ok_or("exit: not a number")?,
                ),
            },
        })
    }
}

fn environment(object: &Map<String, Value>) -> Result<Vec<(String, Option<String>)>, String> {
    let Some(env) = object.get("env") else {
        return Ok(Vec::new());
    };
    env.as_object()
        .ok_or("env: not an object")?
        .iter()
        .map(|(name, value)| match value {
            Value::Null => Ok((name.clone(), None)),
            Value::String(text) => Ok((name.clone(), Some(text.clone()))),
            _ => Err(format!("env: {name} is no text")),
        })
        .collect()
}

/// The folder of the vector's own set, or that of the set `nsss`.
fn input_folder(path: &Path, object: &Map<String, Value>) -> Result<PathBuf, String> {
    let name = match object.get("input") {
        None => "base",
        Some(name) => name.as_str().ok_or("input: no text")?,
    };
    let set = path.parent().ok_or("no folder")?;
    [set.to_owned(), set.join("../nsss")]
        .into_iter()
        .map(|set| set.join("input").join(name))
        .find(|folder| folder.is_dir())
        .ok_or_else(|| format!("no input {name}"))
}

/// A request to nslcd and its reply.
fn exchange(json: &Value) -> Result<(Vec<u8>, Vec<u8>), String> {
    let object = json.as_object().ok_or("an exchange with nslcd is not an object")?;
    only(object, &["request", "reply"])?;
    Ok((bytes(text_of(object, "request")?)?, bytes(text_of(object, "reply")?)?))
}

fn step(json: &Value) -> Result<Step, String> {
    let object = json.as_object().ok_or("a step is not an object")?;
    only(object, &["send", "expect", "eof", "sleep"])?;
    let seconds = match object.get("sleep") {
        None => 0.0,
        Some(sleep) => sleep.as_f64().ok_or("sleep: not a number")?,
    };
    Ok(Step {
        sleep: Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())?,
        send: bytes(text_of(object, "send")?)?,
        eof: match object.get("eof") {
            None => false,
            Some(eof) => eof.as_bool().ok_or("eof: not a truth value")?,
        },
        expect: pattern(text_of(object, "expect")?)?,
    })
}

/// Hexadecimal digits alone.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    pattern(text)?.into_iter().collect::<Option<_>>().ok_or("!! stands for no byte here".into())
}

/// Hexadecimal digits or `!!`, two for each byte.
fn pattern(text: &str) -> Result<Vec<Option<u8>>, String> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            b"!!" => Ok(None),
            [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = String::from_utf8_lossy(pair);
                u8::from_str_radix(&digits, 16).map(Some).map_err(|e| e.to_string())
            }
            _ => Err("not a row of hexadecimal bytes".into()),
        })
        .collect()
}

fn only(object: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("unknown key {key}")),
        None => Ok(()),
    }
}

fn text_of<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    let value = object.get(key).and_then(Value::as_str);
    value.ok_or_else(|| format!("{key}: missing or no text"))
}

fn list<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a Vec<Value>, String> {
    let value = object.get(key).and_then(Value::as_array);
    value.ok_or_else(|| format!("{key}: missing or no list"))
}
