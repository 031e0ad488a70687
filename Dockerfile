# Runs `predict` as a user without rights, on a root file system that nothing is written to:
#
#     docker build -t cardiocompress .
#     docker run --rm --read-only --network none --cap-drop ALL --security-opt no-new-privileges \
#         --user "$(id -u):$(id -g)" -v "$PWD/model.onnx:/model.onnx:ro" -v "$PWD/images:/images:ro" -v "$PWD/masks:/masks" \
#         cardiocompress predict /model.onnx /images -o /masks --jobs 4 --log-json
#
# `docker stop` sends SIGTERM: what is finished stays, and the same line with --resume goes on.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md ./
COPY compress compress
COPY cli cli
RUN python -m venv /opt/cardiocompress \
    && /opt/cardiocompress/bin/pip install --no-cache-dir -c constraints.txt '.[runtime,dicom,service]' \
    && /opt/cardiocompress/bin/pip uninstall --yes pip

FROM python:3.13-slim
COPY --from=build /opt/cardiocompress /opt/cardiocompress
# Nothing is compiled, cached or reported at run time; the home folder does not exist.
ENV PATH=/opt/cardiocompress/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1 \
    OMP_WAIT_POLICY=PASSIVE HOME=/nonexistent
USER 65534:65534
ENTRYPOINT ["cardiocompress"]
