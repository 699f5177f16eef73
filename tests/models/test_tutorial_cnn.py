from unfooled import model
from unfooled.models.tutorial_cnn import tutorial_cnn


def test_it_is_as_large_as_its_description_says() -> None:
    network = tutorial_cnn(channels=1, size=28, classes=10)
    assert sum(p.numel() for p in network.parameters()) == 1_199_882
    layers = model.layers(network, channels=1, size=28)
    assert round(sum(layer.multiplications for layer in layers) / 1e6) == 12
