# unfooled with torch for the CPU; docs/commands.md says how it is used. It needs no network once built.
FROM python:3.13-slim

# What belongs to neither the user nor the package stays out of the layers.
ENV PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_SYSTEM_PYTHON=1 PYTHONUNBUFFERED=1
RUN pip install --disable-pip-version-check --root-user-action=ignore uv

WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY studies studies
ARG EXTRAS="onnx,timm"
# uv knows by itself where torch's builds without GPU libraries are.
RUN uv pip install --torch-backend cpu --constraint constraints.txt ".[$EXTRAS]"

# A home for caches that any user may write to, as `docker run --user` asks for.
RUN useradd --create-home unfooled && mkdir -p /cache /work && chmod 1777 /cache /work
ENV HOME=/cache XDG_CACHE_HOME=/cache MPLCONFIGDIR=/cache/matplotlib
USER unfooled
WORKDIR /work
ENTRYPOINT ["unfooled"]
CMD ["--help"]
