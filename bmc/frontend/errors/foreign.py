"""What other frameworks and languages call what the language has.

In: nothing. Out: tables of words. Guaranteed: a word stands here only if it has one meaning, and takes the same arguments in
the same order or is wrong in a way that the next check says.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["FOREIGN", "FOREIGN_MODULES"]

FOREIGN_MODULES = frozenset({"F", "jnp", "keras", "layers", "nn", "np", "numpy", "optim", "tf", "torch"})
"""Names that stand before a dot elsewhere: `nn.Linear`."""

FOREIGN: Mapping[str, str] = MappingProxyType(
    {
        # layers and activations
        "Linear": "dense", "Dense": "dense", "fully_connected": "dense", "ReLU": "relu", "Relu": "relu",
        "GELU": "gelu", "SiLU": "silu", "swish": "silu", "ELU": "elu", "Tanh": "tanh", "Sigmoid": "sigmoid", "Softmax": "softmax",
        "LeakyReLU": "leaky", "Dropout": "dropout", "Embedding": "embedding", "LayerNorm": "layernorm",
        "layer_norm": "layernorm",
        "RMSNorm": "rmsnorm", "BatchNorm1d": "batchnorm", "BatchNorm2d": "batchnorm", "BatchNormalization": "batchnorm",
        "batch_norm": "batchnorm", "GroupNorm": "groupnorm", "group_norm": "groupnorm", "Conv1d": "conv1d", "Conv2d": "conv2d",
        "Conv2D": "conv2d", "MaxPool2d": "maxpool", "MaxPooling2D": "maxpool", "max_pool": "maxpool", "max_pool2d": "maxpool",
        "AvgPool2d": "avgpool", "avg_pool": "avgpool", "GlobalAveragePooling2D": "global_avgpool", "Flatten": "flatten",
        "MultiheadAttention": "multi_head_attention", "GRU": "gru", "LSTM": "lstm",
        # losses and metrics
        "CrossEntropyLoss": "cross_entropy", "crossentropy": "cross_entropy", "MSELoss": "mse", "mse_loss": "mse",
        "mean_squared_error": "mse", "BCEWithLogitsLoss": "bce", "binary_cross_entropy": "bce", "L1Loss": "mae",
        "mean_absolute_error": "mae", "r2_score": "r2", "accuracy_score": "accuracy",
        # optimizers
        "Adam": "adam", "AdamW": "adamw", "SGD": "sgd", "RMSprop": "rmsprop", "learning_rate": "lr", "lr_rate": "lr",
        # tensors
        "cat": "concat", "concatenate": "concat", "expand_dims": "unsqueeze", "permute": "transpose", "view": "reshape",
        "reduce_sum": "sum", "reduce_mean": "mean", "amax": "max", "absolute": "abs", "clamp": "clip",
        # columns
        "read_csv": "csv", "read_parquet": "parquet", "fillna": "fill", "StandardScaler": "standardize", "zscore": "standardize",
        "OneHotEncoder": "onehot", "one_hot": "onehot", "MinMaxScaler": "minmax", "isnull": "is_missing", "isna": "is_missing",
        # settings
        "batch_size": "batch", "n_epochs": "epochs", "num_epochs": "epochs", "max_epochs": "epochs", "optim": "optimizer",
        "criterion": "loss", "random_state": "seed", "early_stopping": "stop",
        # types
        "float32": "f32", "float64": "f64", "double": "f64", "int32": "i32", "int64": "i64", "long": "i64", "uint8": "u8",
        "boolean": "bool", "string": "str", "datetime": "timestamp", "int": "i32",
    }
)  # fmt: skip
