# syntax=docker/dockerfile:1
# The server with the bundled models, and nothing else: no shell, no package manager, no account to run as.
#
#     docker build -t sconce . && docker run --rm -p 8080:8080 --read-only --cap-drop all sconce
#
# Without a Docker engine: deploy/container/build.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /sconce
COPY Cargo.toml Cargo.lock ./
COPY config config
COPY src src
# Manifest targets must exist for cargo to read it; only the binary is built.
COPY benches benches
COPY tests/it/main.rs tests/it/main.rs
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/sconce/target \
    cargo build --release --locked --bin sconce \
 && install -D --strip target/release/sconce /image/usr/local/bin/sconce \
 && cp --parents $(ldd target/release/sconce | grep -o '/[^ ]*') /image

FROM scratch
LABEL org.opencontainers.image.title="sconce" \
      org.opencontainers.image.description="Serves text and image models over HTTP" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \
      com.amazonaws.sagemaker.capabilities.multi-models=true
COPY --from=build /image /
COPY models /models
# Where the models directory is by default: said in a variable, it would go before what a platform says.
WORKDIR /
# Any other user id does as well: nothing is written, and everything is readable by all.
USER 65532:65532
ENV PATH=/usr/local/bin SCONCE_HTTP__HOST=0.0.0.0
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["sconce", "health"]
ENTRYPOINT ["sconce"]
CMD ["serve"]
