"""A fitted model's predictions on people whom the evaluator never sees: from models to plans to encrypted answers."""
