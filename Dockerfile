# One static binary in an image with nothing else but CA certificates and time
# zones: no shell, no package manager, no root.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t claviger .
#   docker run -p 127.0.0.1:8080:8080 -v claviger:/data claviger

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
ARG COMMIT=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" \
      -o /out/claviger ./cmd/server && \
    mkdir /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/claviger /usr/local/bin/claviger
# Embedded database or not, the spool is there. A new volume takes its owner from here.
COPY --from=build --chown=65532:65532 /out/data /data
ENV CLAVIGER_LISTEN=0.0.0.0:8080 \
    CLAVIGER_DATA_DIR=/data
# By number, so that an orchestrator can see that it is not root.
USER 65532:65532
EXPOSE 8080
VOLUME /data
ENTRYPOINT ["/usr/local/bin/claviger"]
CMD ["serve"]
