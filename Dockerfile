# The app with its worker in one image; also the scheduler and the workers of deploy/compose.yaml.
FROM python:3.11-slim

# uv knows where PyTorch keeps its builds without CUDA, which saves gigabytes: requirements.txt names no index, and
# "2.13.0+cpu" satisfies its "==2.13.0". With a GPU: --build-arg TORCH_BACKEND=auto, or cu128.
ARG TORCH_BACKEND=cpu
WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir uv==0.13.9 \
    && uv pip install --system --no-cache --torch-backend="$TORCH_BACKEND" -r requirements.txt \
    && pip uninstall -y uv

COPY .streamlit .streamlit
COPY cfcore cfcore
COPY pages pages
COPY app.py LICENSE ./
# Compiled here, since whoever runs the app may not write to these folders.
RUN python -m compileall -q cfcore pages app.py

# Nobody in particular: owns what is kept (a new volume takes over the owner), and nothing else.
RUN useradd --uid 1000 --create-home --shell /usr/sbin/nologin latent \
    && install -d -o latent -g latent /data /data/runs /data/sets
USER 1000
VOLUME /data
ENV CFCORE_RUNS_DIR=/data/runs CFCORE_DATA_DIR=/data/sets PYTHONUNBUFFERED=1 PYTHONPATH=/app \
    STREAMLIT_SERVER_HEADLESS=true STREAMLIT_SERVER_ADDRESS=0.0.0.0 STREAMLIT_SERVER_PORT=8501
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "app.py"]
