from torch import nn


class NetWithBN(nn.Module):
    """2-64-32-2 with BatchNorm before each ReLU: [N, 2] to [N, 2]."""

    def __init__(self, inputs=2, hidden=(64, 32), outputs=2):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden[0])
        self.bn1 = nn.BatchNorm1d(hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.bn2 = nn.BatchNorm1d(hidden[1])
        self.fc3 = nn.Linear(hidden[1], outputs)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.bn1(self.fc1(x)))
        x = self.relu(self.bn2(self.fc2(x)))
        return self.fc3(x)


class NetWithoutBN(nn.Module):
    """NetWithBN without the BatchNorms."""

    def __init__(self, inputs=2, hidden=(64, 32), outputs=2):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.fc3 = nn.Linear(hidden[1], outputs)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.fc1(x))
        x = self.relu(self.fc2(x))
        return self.fc3(x)
