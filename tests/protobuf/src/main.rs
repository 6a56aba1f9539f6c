//! Writes what is generated from `src/http/grpc/inference.proto`: messages and service in Rust, and the descriptors that
//! reflection answers with. Run at the root of the repository; with `--check` it writes nothing and fails when what is
//! there differs.

use std::error::Error;
use std::fs;
use std::path::Path;

use prost::Message as _;
use sha2::{Digest as _, Sha256};

const FOLDER: &str = "src/http/grpc";

fn main() -> Result<(), Box<dyn Error>> {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => return Err(format!("there is no argument {other:?}; arguments: --check").into()),
    };
    let folder = Path::new(FOLDER);
    let proto = fs::read_to_string(folder.join("inference.proto"))
        .map_err(|error| format!("{FOLDER}/inference.proto: {error}; run at the root of the repository"))?;
    let descriptors = protox::compile(["inference.proto"], [folder])?;

    let out = std::env::temp_dir().join(format!("sconce-protobuf-{}", std::process::id()));
    fs::create_dir_all(&out)?;
    let generated = generate(descriptors.clone(), &out);
    fs::remove_dir_all(&out)?;
    let code = format!("{}{}", header(&proto), generated?);

    let mut plain = descriptors;
    for file in &mut plain.file {
        // Comments and places in the source: nobody who asks reads them.
        file.source_code_info = None;
    }
    put(&folder.join("inference.rs"), code.as_bytes(), check)?;
    put(&folder.join("inference.descriptors"), &plain.encode_to_vec(), check)
}

fn generate(descriptors: prost_types::FileDescriptorSet, out: &Path) -> Result<String, Box<dyn Error>> {
    tonic_prost_build::configure()
        .build_client(false)
        // Beside the generated module, whose services are modules within it.
        .codec_path("super::super::codec::Bounded")
        // Tensors are shared with the request's buffer, not copied out of it.
        .bytes(".")
        .btree_map(".")
        .out_dir(out)
        .compile_fds(descriptors)?;
    Ok(fs::read_to_string(out.join("inference.rs"))?)
}

fn header(proto: &str) -> String {
    let digest: String = Sha256::digest(proto).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "//! The protocol's messages and service, generated from `inference.proto` by `tests/protobuf`: not to be edited.\n\
         //! Longer than 400 lines: a generator wrote it.\n\
         //!\n\
         //! SHA-256 of `inference.proto`: {digest}\n\n"
    )
}

fn put(path: &Path, content: &[u8], check: bool) -> Result<(), Box<dyn Error>> {
    if !check {
        return Ok(fs::write(path, content)?);
    }
    if fs::read(path)? == content {
        return Ok(());
    }
    let path = path.display();
    Err(format!("{path} is not what inference.proto gives: cargo run --manifest-path tests/protobuf/Cargo.toml").into())
}
