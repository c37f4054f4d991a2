# Laurels with everything that a service needs; `docker run IMAGE --help` lists what it can do.

FROM python:3.11-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip wheel --no-cache-dir --wheel-dir /wheels ".[server,postgres,redis,otel]"

FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --no-index --find-links /wheels "laurels[server,postgres,redis,otel]" \
    && useradd --system --uid 10001 --home-dir /data --create-home laurels
USER laurels
# Where SQLite's file lies, if that is what it runs on.
WORKDIR /data
EXPOSE 8000
ENTRYPOINT ["laurels"]
CMD ["serve", "--host", "0.0.0.0"]
