//! The real binary, serving on a port of its own choice.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A `sconce serve` process; killed when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What begins the names of variables that the binary reads.
const VARIABLES: [&str; 6] = ["SCONCE_", "AIP_", "AZUREML_", "SAGEMAKER_", "K_SERVICE", "PORT"];

/// The binary with a clean environment of ours: no variable that it reads leaks into a test.
pub fn sconce() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sconce"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if VARIABLES.iter().any(|begins| text.starts_with(begins)) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

impl Server {
    /// Serves the models directory; returns once it listens (readiness may come later).
    pub fn start(models: &Path) -> Self {
        Self::start_with(models, &[] as &[&str])
    }

    /// The same with further arguments.
    pub fn start_with<S: AsRef<OsStr>>(models: &Path, arguments: &[S]) -> Self {
        let mut child = sconce()
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--models"])
            .arg(models)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if text.len() < 1 << 20 {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
            text
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on http://") else {
            child.kill().ok();
            child.wait().unwrap();
            panic!("expected the address, found {line:?}; log:\n{}", log.join().unwrap());
        };
        let address = address.parse().unwrap();
        // Whatever follows is read away, so that the server never waits on a full pipe.
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        Self { child, address }
    }

    /// Sends a signal by name: `TERM`, `INT`, `HUP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the process to end by itself.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
