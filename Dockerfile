# syntax=docker/dockerfile:1
# The server with the bundled models: docker build -t sconce . && docker run --rm -p 8080:8080 --read-only sconce

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /sconce
COPY Cargo.toml Cargo.lock ./
COPY config config
COPY src src
# Manifest targets must exist for cargo to read it; only the binary is built.
COPY benches benches
COPY tests/it/main.rs tests/it/main.rs
RUN cargo build --release --locked --bin sconce

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="sconce" \
      org.opencontainers.image.description="Serves text and image models over HTTP" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /sconce/target/release/sconce /usr/local/bin/sconce
COPY models /models
# Any other user id does as well: nothing is written, and everything is readable by all.
USER 65532:65532
ENV SCONCE_HTTP__HOST=0.0.0.0 SCONCE_MODELS__DIRECTORY=/models
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["sconce", "health"]
ENTRYPOINT ["sconce"]
CMD ["serve"]
